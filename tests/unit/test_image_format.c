// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <string.h>

#include "vmm/lib/image_format.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static uint8_t first[IMAGE_FORMAT_SECTOR], last[IMAGE_FORMAT_SECTOR];

static const struct {
	const char *bytes;
	size_t len, offset;
	const char *in_first, *in_last; /* what it means there, or NULL */
} marks[] = {
	{"QFI\xfb\0\0\0\1", 8, 0, "qcow", NULL},
	{"QFI\xfb\0\0\0\2", 8, 0, "qcow2", NULL},
	{"QFI\xfb\0\0\0\3", 8, 0, "qcow2", NULL},
	{"QED\0", 4, 0, "QED", NULL},
	{"KDMV", 4, 0, "VMDK", NULL},
	{"COWD", 4, 0, "VMDK", NULL},
	{"# Disk DescriptorFile\nversion=1\n", 32, 0, "VMDK", NULL},
	{"vhdxfile", 8, 0, "VHDX", NULL},
	{"conectix", 8, 0, "VHD", "VHD"},
	{"\x7f\x10\xda\xbe", 4, 64, "VDI", NULL},
	{"WithoutFreeSpace", 16, 0, "Parallels", NULL},
	{"WithouFreSpacExt", 16, 0, "Parallels", NULL},
	{"koly", 4, 0, NULL, "DMG"},
	/* What a disk may well begin with. */
	{"\0", 1, 0, NULL, NULL},
	{"\x55\xaa", 2, 510, NULL, NULL},
	{"LUKS\xba\xbe\0\2", 8, 0, NULL, NULL},
	{"QFI", 4, 0, NULL, NULL},
	{"QEDX", 4, 0, NULL, NULL},
	{"# Disk", 6, 0, NULL, NULL},
	{"conectix", 8, 1, NULL, NULL},
	{"\x7f\x10\xda\xbe", 4, 60, NULL, NULL},
};

START_TEST(test_marks)
{
	memset(first, 0, sizeof(first));
	memset(last, 0, sizeof(last));
	memcpy(first + marks[_i].offset, marks[_i].bytes, marks[_i].len);
	ck_assert_pstr_eq(image_format_name(first, last), marks[_i].in_first);
	memset(first, 0, sizeof(first));
	memcpy(last + marks[_i].offset, marks[_i].bytes, marks[_i].len);
	ck_assert_pstr_eq(image_format_name(first, last), marks[_i].in_last);
}
END_TEST

Suite *image_format_suite(void);
Suite *image_format_suite(void)
{
	Suite *suite = suite_create("image format");
	TCase *tcase = tcase_create("format");
	tcase_add_loop_test(tcase, test_marks, 0, COUNT(marks));
	suite_add_tcase(suite, tcase);
	return suite;
}
