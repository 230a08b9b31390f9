// SPDX-License-Identifier: Apache-2.0
/* What is copied out of an image, which mke2fs makes. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/bootdisk/reader.h"

#define IMAGE_SIZE (1U << 20)

static char top[] = "/tmp/ebb-unit-reader-XXXXXX";
static struct reader_fds fds;
static struct reader_reply reply;
static char got[64];

/* An image of /boot/grub/grub.cfg, a kernel, and initrds of 5, 3 and 0 bytes. */
static const char make[] =
	"cd %s && mkdir -p in/boot/grub && cd in/boot && printf KERNEL >kernel && printf 12345 >one && "
	"printf abc >two && : >none && "
	"printf 'menuentry x {\\nlinux /boot/kernel quiet\\ninitrd /boot/one /boot/%s\\n}\\n' >grub/grub.cfg && "
	"cd ../.. && PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -t ext2 -d in image 1M >/dev/null 2>&1";

static int new_file(void)
{
	int fd = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Returns whether the image, whose second initrd is @second, could be made. */
static bool setup_with(const char *second)
{
	char line[2048], path[64];

	strcpy(top + strlen(top) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(line, sizeof(line), make, top, second);
	if (system(line) != 0) {
		printf("SKIPPED: test_reader: there is no mke2fs that can copy a folder\n");
		return false;
	}
	snprintf(path, sizeof(path), "%s/image", top);
	fds = (struct reader_fds){.image = open(path, O_RDONLY | O_CLOEXEC),
				  .kernel = new_file(),
				  .initrd = new_file()};
	ck_assert_int_ge(fds.image, 0);
	return true;
}

static void teardown(void)
{
	char line[64];

	snprintf(line, sizeof(line), "rm -rf %s", top);
	ck_assert_int_eq(system(line), 0);
}

/* A further initrd begins at a word, where the kernel looks for it. */
START_TEST(initrds_begin_at_words)
{
	if (!setup_with("two"))
		return;
	reader_find(&fds, IMAGE_SIZE, &reply);
	ck_assert_str_eq(reply.reason, "");
	ck_assert_str_eq(reply.kernel, "/boot/kernel");
	ck_assert_str_eq(reply.params, "quiet");
	ck_assert_int_eq(pread(fds.kernel, got, sizeof(got), 0), 6);
	ck_assert_int_eq(pread(fds.initrd, got, sizeof(got), 0), 11);
	ck_assert_mem_eq(got, "12345\0\0\0abc", 11);
}
END_TEST

/* There is room for the first initrd, but not for what has to follow it, be it only padding. */
START_TEST(what_cannot_be_copied_is_told)
{
	if (!setup_with(_i ? "none" : "two"))
		return;
	ck_assert_int_eq(ftruncate(fds.initrd, 5), 0);
	ck_assert_int_eq(fcntl(fds.initrd, F_ADD_SEALS, F_SEAL_GROW), 0);
	reader_find(&fds, IMAGE_SIZE, &reply);
	ck_assert_ptr_nonnull(strstr(reply.reason, "cannot be read or copied"));
	ck_assert_ptr_nonnull(strstr(reply.reason, _i ? "/boot/none" : "/boot/two"));
}
END_TEST

Suite *reader_suite(void);

Suite *reader_suite(void)
{
	Suite *suite = suite_create("reader");
	TCase *tcase = tcase_create("reading");

	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_test(tcase, initrds_begin_at_words);
	tcase_add_loop_test(tcase, what_cannot_be_copied_is_told, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
