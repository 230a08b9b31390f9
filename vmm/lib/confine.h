/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives up everything but memory, and reading and writing what is open, for the rest of the process: the system calls that
 * stay allowed are in confine.c. Any other kills the process.
 */
#ifndef EBB_LIB_CONFINE_H
#define EBB_LIB_CONFINE_H

#include <stdint.h>

#define CONFINE_NO_LIMIT (~0ULL)

/*
 * @cpu_s: seconds of CPU time after which the process is killed; @file_max: bytes up to which a
 * file can grow. Returns 0 or -errno. In a process with one thread.
 */
int confine_self(uint64_t cpu_s, uint64_t file_max);

#endif
