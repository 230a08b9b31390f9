/* SPDX-License-Identifier: Apache-2.0 */
/* The version of ebb, kept only here; scripts call `ebb version`. Thread: any. */
#ifndef EBB_LIB_VERSION_H
#define EBB_LIB_VERSION_H

#define EBB_VERSION "0.1"

/* The version of QEMU that QMP's greeting names: 7.2's commands and events. */
#define EBB_QMP_MAJOR 7
#define EBB_QMP_MINOR 2
#define EBB_QMP_MICRO 0

#endif
