/* SPDX-License-Identifier: MIT */
/* service_debug - option -D: run debugger_command on this process. */
#ifndef LIB_SERVICE_SERVICE_DEBUG_H
#define LIB_SERVICE_SERVICE_DEBUG_H

/* Start the command in the background and give it five seconds to attach. */
void service_debug(const char *process);

#endif
