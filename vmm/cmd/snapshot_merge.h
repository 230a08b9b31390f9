/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EBB_CMD_SNAPSHOT_MERGE_H
#define EBB_CMD_SNAPSHOT_MERGE_H

/*
 * Makes a whole snapshot in the folder @out of the increment in @folder, which may be the same one. Returns the exit status,
 * after an error message or a line that says what was done. Thread: main.
 */
int snapshot_merge_folders(const char *folder, const char *out);

#endif
