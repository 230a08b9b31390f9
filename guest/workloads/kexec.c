// SPDX-License-Identifier: Apache-2.0
/*
 * kexec: puts another kernel in this one's place.
 *
 *   kexec KERNEL INITRD PARAMETERS
 *
 * Starts it at once, with PARAMETERS as its command line; nothing is written out or unmounted. Prints why, and exits
 * with 1, where the kernel cannot (CONFIG_KEXEC_FILE).
 */
#include <fcntl.h>
#include <sys/reboot.h>
#include <sys/syscall.h>

#include "workload.h"

static int opened(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail("kexec", path);
	return fd;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fputs("usage: kexec KERNEL INITRD PARAMETERS\n", stderr);
		return 2;
	}
	if (syscall(SYS_kexec_file_load, opened(argv[1]), opened(argv[2]), strlen(argv[3]) + 1,
		    argv[3], 0UL))
		fail("kexec", "cannot load the kernel");
	reboot(RB_KEXEC);
	fail("kexec", "cannot start the kernel");
}
