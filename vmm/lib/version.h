/* SPDX-License-Identifier: Apache-2.0 */
/* Which ebb this is: the only place that says so. `ebb version` prints it for the scripts that need it. Thread: any. */
#ifndef EBB_LIB_VERSION_H
#define EBB_LIB_VERSION_H

#define EBB_VERSION "0.1"

/* What QMP's clients may expect of a QEMU here: 7.2's commands and events. */
#define EBB_QMP_MAJOR 7
#define EBB_QMP_MINOR 2
#define EBB_QMP_MICRO 0

#endif
