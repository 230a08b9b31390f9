// SPDX-License-Identifier: Apache-2.0
/* Options of a guest's disks. */
#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/config_words.h"
#include "tests/unit/runtime_dir.h"

static const struct {
	const char *words[WORDS_MAX + 1];
	struct {
		const char *file;
		bool read_only, raw, sync;
	} want[4]; /* up to one without a name */
} disks[] = {
	{{"K"}, {{NULL, false, false, false}}},
	{{"K", "-d", "a.img"}, {{"a.img", false, false, false}}},
	{{"-da.img,ro", "K"}, {{"a.img", true, false, false}}},
	{{"K", "--disk=/dev/sdb", "--disk", "x,ro", "-dy"},
	 {{"/dev/sdb", false, false, false},
	  {"x", true, false, false},
	  {"y", false, false, false}}},
	{{"K", "-d", "a", "-d", "a"}, {{"a", false, false, false}, {"a", false, false, false}}},
	{{"K", "-d", "a,format=raw"}, {{"a", false, true, false}}},
	{{"K", "-d", "a,format=raw,ro"}, {{"a", true, true, false}}},
	{{"K", "-d", "a,aio=sync"}, {{"a", false, false, true}}},
	{{"K", "-d", "a,aio=io_uring"}, {{"a", false, false, false}}},
	{{"K", "-d", "/tmp/a,,b/d.img"}, {{"/tmp/a,b/d.img", false, false, false}}},
	{{"K", "-d", "a,,ro,,,ro"}, {{"a,ro,", true, false, false}}},
	{{"K", "-d", ",,"}, {{",", false, false, false}}},
};

START_TEST(test_disks)
{
	struct vm_config config;
	unsigned int i = 0;
	ck_assert_msg(config_words(&config, disks[_i].words) == CONFIG_RUN, "%s", config_error);
	for (; disks[_i].want[i].file; i++) {
		ck_assert_str_eq(config.disks.disk[i].file, disks[_i].want[i].file);
		ck_assert_int_eq(config.disks.disk[i].read_only, disks[_i].want[i].read_only);
		ck_assert_int_eq(config.disks.disk[i].raw, disks[_i].want[i].raw);
		ck_assert_int_eq(config.disks.disk[i].sync, disks[_i].want[i].sync);
	}
	ck_assert_uint_eq(config.disks.count, i);
}
END_TEST

/* The first disk is the root if it is a folder; the others stay. */
START_TEST(test_root_folder)
{
	const char *const words[] = {"K", "-d", "/usr,ro", "-dx", "-p", "quiet", "--fs=/etc", NULL};
	struct vm_config config;

	ck_assert_msg(config_words(&config, words) == CONFIG_RUN, "%s", config_error);
	ck_assert_uint_eq(config.disks.count, 1);
	ck_assert_str_eq(config.disks.disk[0].file, "x");
	ck_assert_uint_eq(config.folders.count, 2);
	ck_assert_str_eq(config.folders.folder[0].dir, "/etc");
	ck_assert_str_eq(config.folders.folder[1].dir, "/usr");
	ck_assert_str_eq(config.folders.folder[1].tag, "root");
	ck_assert(config.folders.folder[1].read_only);
	ck_assert_str_eq(config.boot.params, "root=root rootfstype=virtiofs ro quiet");
	ck_assert_int_eq(config.memory.backing, RAM_MEMFD);
}
END_TEST

static const struct config_mistake bad_roots[] = {
	{{"-d", "/usr"}, {"\"/usr\" has no boot loader", "-k FILE"}},
	{{"K", "-d", "x", "-d", "/usr"}, {"\"/usr\" is a folder", "only the first", "--fs"}},
	{{"K", "-d", "/usr,format=raw"}, {"\"/usr\" is a folder", "\",ro\" only"}},
	{{"K", "-d", "/usr,cache=none"}, {"\"/usr\" is a folder", "\",ro\" only"}},
	{{"K", "-d", "/usr", "--fs", "/a", "--fs", "/b"}, {"\"/usr\" is one too many"}},
	{{"K", "-d", "/usr", "--fs", "/a,tag=root"}, {"two folders have the tag \"root\""}},
};

START_TEST(test_bad_roots)
{
	config_mistaken(&bad_roots[_i]);
}
END_TEST

START_TEST(test_many_disks)
{
	struct vm_config config;
	char *argv[2 * VM_DISKS_MAX + 4] = {"K"};
	int argc = 1;
	for (; argc < 2 * VM_DISKS_MAX + 1; argc += 2) {
		argv[argc] = "-d";
		argv[argc + 1] = "x";
	}
	ck_assert_int_eq(config_parse(&config, argc, argv, config_error, sizeof(config_error)),
			 CONFIG_RUN);
	ck_assert_uint_eq(config.disks.count, VM_DISKS_MAX);
	argv[argc] = "--image=more";
	ck_assert_int_eq(config_parse(&config, argc + 1, argv, config_error, sizeof(config_error)),
			 CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(config_error, "that of --image would be one too many"));
	argv[argc++] = "-dlast";
	ck_assert_int_eq(config_parse(&config, argc, argv, config_error, sizeof(config_error)),
			 CONFIG_ERROR);
	ck_assert_ptr_nonnull(
		strstr(config_error, "\"last\" is one too many; a guest can have 16"));
}
END_TEST

static const struct {
	const char *words[WORDS_MAX + 1];
	const char *image;
	unsigned int disks;
} images[] = {
	/* Nothing else names what to boot. */
	{{NULL}, VM_IMAGE_DEFAULT, 0},
	{{"-m", "1G", "--ssh"}, VM_IMAGE_DEFAULT, 0},
	{{"--image", "next"}, "next", 0},
	{{"--image", "next", "-dx"}, "next", 1},
	{{"K", "--image", "next"}, "next", 0},
	{{"K"}, NULL, 0},
	{{"-dx"}, NULL, 1},
	{{"--restore", "/dir"}, NULL, 0},
};

START_TEST(test_images)
{
	struct vm_config config;
	ck_assert_msg(config_words(&config, images[_i].words) == CONFIG_RUN, "%s", config_error);
	if (images[_i].image)
		ck_assert_str_eq(config.disks.image, images[_i].image);
	else
		ck_assert_ptr_null(config.disks.image);
	ck_assert_uint_eq(config.disks.count, images[_i].disks);
}
END_TEST

static const struct config_mistake bad[] = {
	{{"--image", ""}, {"image's file name is empty"}},
	{{"K", "--image", "a", "--image", "b"}, {"--image", "given twice"}},
	/* The image is the root. */
	{{"K", "--image", "a", "-d/usr"}, {"\"/usr\" is a folder", "--fs"}},
	{{"K", "-d", ""}, {"disk's file name is empty", "name the file"}},
	{{"K", "-d", ",ro"}, {"disk's file name is empty"}},
	{{"K", "-d"}, {"-d needs a value", "-d FILE[,ro]"}},
	{{"K", "--disk=a.img,rw"},
	 {"\"rw\" of the disk",
	  "ro, format=raw|qcow2, backing=DIR, cache=none|writeback, aio=sync|io_uring",
	  "\"a.img,rw\""}},
	{{"K", "--disk", "a,b.img"}, {"\"b.img\"", "written twice", "\"a,b.img\""}},
	{{"K", "--disk", "a.img,"}, {"unknown key \"\"", "ro, format=raw"}},
	{{"K", "--disk", "a.img,ro,ro"}, {"\"ro\" of the disk", "given twice"}},
	{{"K", "--disk", "a.img,ro=1"}, {"\"ro\" of the disk", "no value"}},
	{{"K", "--disk", "a.img,format"}, {"needs a value", "format=raw"}},
	{{"K", "--disk", "a.img,fromat=raw"}, {"\"fromat\"", "did you mean format?"}},
	{{"K", "--disk", "a.img,format=vmdk"}, {"\"vmdk\"", "raw or qcow2", "qemu-img convert"}},
	{{"K", "--disk", "a.img,backing=/srv"}, {"\"a.img\" is no qcow2 image", "backing="}},
	{{"K", "--disk", "a.img,format=qcow2,backing="}, {"backing=", "name a folder"}},
	{{"K", "--disk", "a.img,format=qcow2,aio=sync"},
	 {"aio=sync is for raw disks", "leave it out"}},
	{{"K", "--disk", "nbd://host,aio=sync"}, {"aio=sync is for raw disks"}},
	{{"K", "--disk", "a,format=qcow2", "--mem-backing", "anon"},
	 {"a disk that is not raw needs shared memory", "--mem-backing anon"}},
	{{"K", "--disk", "nbd://host", "--discard", "free"}, {"shared memory", "--discard free"}},
	{{"K", "--disk", "a.img,format=raw,format=raw"}, {"given twice"}},
	{{"K", "--disk", "a.img,aio=native"}, {"\"native\"", "sync or io_uring"}},
	{{"K", "--disk", "a.img,cache=unsafe"}, {"\"unsafe\"", "none or writeback"}},
	{{"K", "--disk", "a.img,aio"}, {"needs a value"}},
	{{"K", "--dsk=a"}, {"did you mean --disk?"}},
};

START_TEST(test_bad)
{
	config_mistaken(&bad[_i]);
}
END_TEST

static const struct {
	const char *name, *bytes;
	size_t len;
	const char *option;
	enum vm_disk_format format;
} formats[] = {
	{"a.img", "some bytes", 10, "", VM_DISK_RAW},
	{"a.img", "QFI\xfb\0\0\0\3", 8, "", VM_DISK_QCOW2},
	{"a.img", "QFI\xfb\0\0\0\2", 8, "", VM_DISK_QCOW2},
	{"a.img", "QFI\xfb\0\0\0\1", 8, "",
	 VM_DISK_RAW}, /* another format, which is refused later */
	{"a.img", "", 0, "", VM_DISK_RAW},
	/* What the user says counts. */
	{"a.img", "QFI\xfb\0\0\0\3", 8, ",format=raw", VM_DISK_RAW},
	{"a.img", "some bytes", 10, ",format=qcow2", VM_DISK_QCOW2},
};

/* The format is the header's, unless the user says it; and memory is shared with the one who serves it. */
START_TEST(test_formats)
{
	struct vm_config config;
	char file[128], value[160];

	snprintf(file, sizeof(file), "%s/%s", top, formats[_i].name);
	FILE *image = fopen(file, "w");
	ck_assert_ptr_nonnull(image);
	fwrite(formats[_i].bytes, 1, formats[_i].len, image);
	fclose(image);
	snprintf(value, sizeof(value), "%s%s", file, formats[_i].option);
	char *argv[] = {"K", "-d", value, NULL};
	ck_assert_msg(config_parse(&config, 3, argv, config_error, sizeof(config_error)) ==
			      CONFIG_RUN,
		      "%s", config_error);
	ck_assert_int_eq(config.disks.disk[0].format, formats[_i].format);
	ck_assert_int_eq(config.memory.backing,
			 formats[_i].format == VM_DISK_RAW ? RAM_ANON : RAM_MEMFD);
}
END_TEST

START_TEST(test_nbd)
{
	struct vm_config config;
	char *argv[] = {"K",	 "-d", "nbd+unix:///x?socket=/s,ro", "-d", "nbd://h", "-d",
			"nbd:x", NULL};

	ck_assert_int_eq(config_parse(&config, 7, argv, config_error, sizeof(config_error)),
			 CONFIG_RUN);
	ck_assert_int_eq(config.disks.disk[0].format, VM_DISK_NBD);
	ck_assert(config.disks.disk[0].read_only);
	ck_assert_int_eq(config.disks.disk[1].format, VM_DISK_NBD);
	ck_assert_int_eq(config.disks.disk[2].format, VM_DISK_RAW);
}
END_TEST

START_TEST(test_long_file)
{
	struct vm_config config;
	static char name[PATH_MAX + 1];
	memset(name, 'a', PATH_MAX - 1);
	char *argv[] = {"K", "-d", name, NULL};
	ck_assert_int_eq(config_parse(&config, 3, argv, config_error, sizeof(config_error)),
			 CONFIG_RUN);
	ck_assert_uint_eq(strlen(config.disks.disk[0].file), PATH_MAX - 1);
	name[PATH_MAX - 1] = 'a';
	ck_assert_int_eq(config_parse(&config, 3, argv, config_error, sizeof(config_error)),
			 CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(config_error, "too long"));
}
END_TEST

Suite *config_disks_suite(void);
Suite *config_disks_suite(void)
{
	Suite *suite = suite_create("config, disks");
	TCase *tcase = tcase_create("config, disks");
	tcase_add_loop_test(tcase, test_disks, 0, COUNT(disks));
	tcase_add_test(tcase, test_root_folder);
	tcase_add_loop_test(tcase, test_bad_roots, 0, COUNT(bad_roots));
	tcase_add_test(tcase, test_many_disks);
	tcase_add_loop_test(tcase, test_images, 0, COUNT(images));
	tcase_add_loop_test(tcase, test_bad, 0, COUNT(bad));
	tcase_add_test(tcase, test_long_file);
	tcase_add_test(tcase, test_nbd);
	suite_add_tcase(suite, tcase);
	TCase *files = tcase_create("files");
	tcase_add_checked_fixture(files, runtime_dir_setup, runtime_dir_teardown);
	tcase_add_loop_test(files, test_formats, 0, COUNT(formats));
	suite_add_tcase(suite, files);
	return suite;
}
