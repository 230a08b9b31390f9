// SPDX-License-Identifier: Apache-2.0
#include "vmm/storage/storage.h"

#include <errno.h>

static _Noreturn void become(const void *data, const char *path, int socket)
{
	struct storage_arguments arguments;

	if (storage_arguments(&arguments, data, socket)) {
		errno = ENOMEM;
		backend_fail("make a command line");
	}
	storage_confine(data);
	backend_exec(path, (const char *const *)arguments.argv, socket);
}

const struct backend_program storage_program = {
	.name = "qemu-storage-daemon",
	.package = "qemu-system-common, or qemu-utils from Debian 13 on",
	.keeper = "disk-keeper",
	.listens = true,
	/* It writes the image's tables then, which it keeps in memory until the guest flushes. */
	.stop_ms = 5000,
	.become = become,
};
