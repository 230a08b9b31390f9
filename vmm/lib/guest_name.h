/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names that guests can have. A name is a file name in the runtime directory, and is shown in tables,
 * JSON and labels of Prometheus.
 *
 * Pure. Thread: any.
 */
#ifndef EBB_LIB_GUEST_NAME_H
#define EBB_LIB_GUEST_NAME_H

#define VM_NAME_MAX 64 /* bytes, without the terminator: a socket's path has to hold it */

/* Returns NULL for a name that a new guest can have, else what is wrong with it, as in "NAME is too long". */
const char *vm_name_error(const char *name);

/*
 * Likewise for a guest that may be running: an older ebb took names that vm_name_error() refuses. Such a
 * guest still has to be found and stopped.
 */
const char *vm_name_lookup_error(const char *name);

#endif
