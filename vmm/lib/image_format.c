// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/image_format.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct mark {
	const char *name;
	const char *bytes;
	size_t len;
	size_t offset; /* in its sector */
	bool last;     /* in the last sector, instead of the first */
};

#define MARK(bytes) (bytes), sizeof(bytes) - 1

static const struct mark marks[] = {
	{"qcow", MARK("QFI\xfb\0\0\0\1"), 0, false},
	{"qcow2", MARK("QFI\xfb"), 0, false},
	{"QED", MARK("QED\0"), 0, false},
	{"VMDK", MARK("KDMV"), 0, false},
	{"VMDK", MARK("COWD"), 0, false},
	{"VMDK", MARK("# Disk DescriptorFile"), 0, false},
	{"VHDX", MARK("vhdxfile"), 0, false},
	{"VHD", MARK("conectix"), 0, false},
	{"VHD", MARK("conectix"), 0, true}, /* a fixed-size one: the disk, then a footer */
	{"VDI", MARK("\x7f\x10\xda\xbe"), 64, false},
	{"Parallels", MARK("WithoutFreeSpace"), 0, false},
	{"Parallels", MARK("WithouFreSpacExt"), 0, false},
	{"DMG", MARK("koly"), 0, true},
};

const char *image_format_name(const uint8_t first[IMAGE_FORMAT_SECTOR],
			      const uint8_t last[IMAGE_FORMAT_SECTOR])
{
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		const struct mark *mark = &marks[i];
		const uint8_t *sector = mark->last ? last : first;
		if (memcmp(sector + mark->offset, mark->bytes, mark->len) == 0)
			return mark->name;
	}
	return NULL;
}

bool image_format_is_qcow2(const char *file)
{
	uint8_t first[IMAGE_FORMAT_SECTOR] = {0}, last[IMAGE_FORMAT_SECTOR] = {0};
	struct stat st;

	/* To open a pipe or another kind of device can have side effects. */
	if (stat(file, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		return false;
	int fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t len = pread(fd, first, sizeof(first), 0);
	close(fd);
	const char *name = len > 0 ? image_format_name(first, last) : NULL;
	return name && strcmp(name, "qcow2") == 0;
}
