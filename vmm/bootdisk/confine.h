/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives up everything but memory, reading by offset and writing, for the rest of the process: what is left of the system
 * calls is in confine.c. Whatever else is tried kills the process.
 */
#ifndef EBB_BOOTDISK_CONFINE_H
#define EBB_BOOTDISK_CONFINE_H

#include <stdint.h>

/*
 * @cpu_s: seconds of CPU after which the process is killed; @file_max: bytes up to which a file can grow. Returns 0 or
 * -errno. In a process with one thread.
 */
int confine_self(unsigned int cpu_s, uint64_t file_max);

#endif
