/* SPDX-License-Identifier: MIT */
#include "lib/deliver/status.h"

#include <errno.h>

const char *
status_of_errno(int error)
{
	switch (error) {
	case EDQUOT:
	case EFBIG:
		return "5.2.2";
	case ENOSPC:
		return "4.3.0";
	case EAGAIN:
	case EEXIST:
	case EINTR:
	case EIO:
	case EMFILE:
	case ENFILE:
	case ENOLCK:
	case ENOMEM:
	case EDEADLK:
	case ESTALE:
	case ETIMEDOUT:
	case ENOTCONN:
		return "4.2.0";
	default:
		return "5.2.0";
	}
}
