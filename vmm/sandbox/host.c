// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/sandbox/cores.h"
#include "vmm/sandbox/namespaces.h"
#include "vmm/sandbox/paths.h"

static int try_namespaces(void)
{
	int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return -errno;
	int error = namespaces_try(directory);
	close(directory);
	return error;
}

static int ask_for_filters(void)
{
	uint32_t action = SECCOMP_RET_TRAP;
	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ? -errno : 0;
}

void sandbox_probe(struct sandbox_host *host)
{
	host->namespaces = try_namespaces();
	host->landlock = paths_version();
	host->filters = ask_for_filters();
	host->cores = cores_probe();
}
