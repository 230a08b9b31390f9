/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a program is, in a list of folders such as PATH. Thread: any. Source: environ(7).
 */
#ifndef EBB_LIB_FIND_PROGRAM_H
#define EBB_LIB_FIND_PROGRAM_H

#include <limits.h>
#include <stdbool.h>

/*
 * Finds the first file @name that may be executed, in the folders @dirs, with colons between them; NULL has none. An empty
 * one, in PATH the current folder, is left out. Writes its path. Returns whether there is one.
 */
bool find_program(const char *dirs, const char *name, char path[PATH_MAX]);

#endif
