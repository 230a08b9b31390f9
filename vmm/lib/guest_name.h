/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names that guests can have. A name is a file name in the runtime directory, and appears in
 * tables, JSON and labels of Prometheus.
 *
 * Pure. Thread: any.
 */
#ifndef EBB_LIB_GUEST_NAME_H
#define EBB_LIB_GUEST_NAME_H

#define VM_NAME_MAX 64 /* bytes, without the terminator: it must fit in a socket's path */

/* Returns NULL if a new guest can have @name, else the error, to follow the name: "is too long". */
const char *vm_name_error(const char *name);

/*
 * The same for a guest that may be running: an older ebb accepted names that vm_name_error()
 * refuses, and commands must be able to find and stop such a guest.
 */
const char *vm_name_lookup_error(const char *name);

#endif
