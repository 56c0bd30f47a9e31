/* SPDX-License-Identifier: MIT */
/* posttls-finger_resolver - whom a command asks about names. */
#ifndef SMTP_POSTTLS_FINGER_RESOLVER_H
#define SMTP_POSTTLS_FINGER_RESOLVER_H

/*
 * The resolver of the mail system, when it runs and this user may ask it (the
 * working directory is queue_directory then); else one of our own, in a child
 * process that ends with this one.
 */
void finger_resolver_open(void);

#endif
