// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/snapshot_base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/snapshot/identify.h"

int snapshot_base_open(struct snapshot_file *file, struct snapshot_chain *bases, const char *folder)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0) {
		log_error("cannot open the folder '%s': %s", folder, strerror(errno));
		return -1;
	}
	int error = snapshot_chain_identify(bases, dir);
	close(dir);
	if (error) {
		log_error("the snapshot in '%s' cannot be a base: %s", folder, bases->why);
		return -1;
	}
	return snapshot_file_link(file, bases, folder);
}

bool snapshot_base_find(struct snapshot_file *file, const struct snapshot_chain *bases,
			const char *folder, const char *guest)
{
	struct snapshot_chain came = {0};
	unsigned int i = 0;

	int error = lseek(file->fd, 0, SEEK_SET) < 0 ? -errno : snapshot_identify(&came, file->fd);
	bool is_increment = !error && came.layer[0]->is_increment;
	while (is_increment && i < bases->count &&
	       memcmp(&came.layer[0]->base, &bases->layer[i]->id, sizeof(struct snapshot_id)) != 0)
		i++;
	if (error)
		log_error("guest \"%s\" is not saved: cannot read what came: %s", guest,
			  came.why[0] ? came.why : strerror(-error));
	else if (!is_increment)
		log_error("guest \"%s\" is not saved: its ebb sent no increment", guest);
	else if (i == bases->count)
		log_error(
			"guest \"%s\" was restored from another snapshot than the one in '%s', or "
			"saved in another since: name the folder of that as --base",
			guest, folder);
	file->first = i;
	snapshot_chain_release(&came);
	return is_increment && i < bases->count;
}
