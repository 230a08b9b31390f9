/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that configures a cloud image at its first start: cloud-init's NoCloud (cloudinit.readthedocs.io, "NoCloud"), an ISO
 * 9660 file system labelled "cidata" with the user's user-data in it. xorriso makes it.
 *
 * Thread: main, before the process has others.
 */
#ifndef EBB_BOOTDISK_SEED_H
#define EBB_BOOTDISK_SEED_H

#define SEED_WAIT_S 30 /* xorriso's time limit */

/*
 * Returns a descriptor of such a disk, in memory, or -errno after an error message. @user_data: a
 * file; @host: the guest's host name, or NULL to leave it unchanged. cloud-init runs again if the
 * user-data has changed.
 */
int seed_make(const char *user_data, const char *host);

#endif
