// SPDX-License-Identifier: Apache-2.0
/* qcow2 images as they are made and as a stranger may make them; and how qemu-storage-daemon is called. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/image_lock.h"
#include "vmm/storage/storage.h"

#define LIMIT_MS 60000
#define MIB	 (UINT64_C(1) << 20)
#define RAW	 "raw"
#define QCOW2	 "qcow2"

/* --- headers --------------------------------------------------------------------------------- */

static void put32(uint8_t *data, size_t offset, uint32_t value)
{
	value = htobe32(value);
	memcpy(data + offset, &value, sizeof(value));
}

static void put64(uint8_t *data, size_t offset, uint64_t value)
{
	value = htobe64(value);
	memcpy(data + offset, &value, sizeof(value));
}

/* A header as QEMU writes it: fields, the extensions, the backing file's name. Returns its length. */
static size_t header(uint8_t data[1024], uint32_t version, const char *backing, const char *format)
{
	size_t at = version == 2 ? 72 : 104;

	memset(data, 0, 1024);
	put32(data, 0, 0x514649fb);
	put32(data, 4, version);
	put32(data, 20, 16);
	put64(data, 24, 64 * MIB);
	put32(data, 100, version == 2 ? 0 : 104);
	if (format) {
		put32(data, at, 0xe2792aca);
		put32(data, at + 4, (uint32_t)strlen(format));
		memcpy(data + at + 8, format, strlen(format));
		at += 8 + ((strlen(format) + 7) & ~7UL);
	}
	/* QEMU's own table of the features' names, which is of no interest. */
	put32(data, at, 0x6803f857);
	put32(data, at + 4, 96);
	at += 8 + 96 + 8;
	if (backing) {
		put64(data, 8, at);
		put32(data, 16, (uint32_t)strlen(backing));
		memcpy(data + at, backing, strlen(backing));
		at += strlen(backing);
	}
	return at;
}

START_TEST(parses)
{
	struct storage_header read;
	uint8_t data[1024];

	for (uint32_t version = 2; version <= 3; version++) {
		size_t len = header(data, version, NULL, NULL);
		ck_assert_int_eq(storage_parse(data, len, &read), 0);
		ck_assert_uint_eq(read.size, 64 * MIB);
		ck_assert_str_eq(read.backing, "");
		ck_assert(!read.encrypted && !read.data_file);
		len = header(data, version, "../b, c.img", RAW);
		ck_assert_int_eq(storage_parse(data, len, &read), 0);
		ck_assert_str_eq(read.backing, "../b, c.img");
		ck_assert_str_eq(read.format, RAW);
		len = header(data, version, "b", NULL);
		ck_assert_int_eq(storage_parse(data, len, &read), 0);
		ck_assert_str_eq(read.format, "");
		/* No part of it is enough. */
		for (size_t less = 0; less < len; less++)
			ck_assert_int_eq(storage_parse(data, less, &read), -EINVAL);
	}
	header(data, 3, NULL, NULL);
	put32(data, 32, 2);
	put64(data, 72, 4);
	ck_assert_int_eq(storage_parse(data, sizeof(data), &read), 0);
	ck_assert(read.encrypted && read.data_file);
}
END_TEST

static const struct {
	size_t offset;
	uint64_t value;
	bool wide;
} broken[] = {
	{0, 0x514649fa, false}, /* another format */
	{4, 1, false},		/* qcow */
	{4, 0, false},
	{8, UINT64_MAX, true}, /* the name lies beyond the file */
	{8, UINT64_MAX - 8, true},
	{8, 1024, true},
	{16, UINT32_MAX, false}, /* its length */
	{16, 1024, false},
	{16, 0, false},
	{100, 0, false}, /* the header's length */
	{100, UINT32_MAX, false},
	{100, 8, false},
	{108, UINT32_MAX, false}, /* an extension's */
	{108, 1000, false},
	{108, 16, false}, /* a format's name that is none */
};

START_TEST(refuses_broken_headers)
{
	struct storage_header read;
	uint8_t data[1024];

	header(data, 3, "base.img", RAW);
	if (broken[_i].wide)
		put64(data, broken[_i].offset, broken[_i].value);
	else
		put32(data, broken[_i].offset, (uint32_t)broken[_i].value);
	ck_assert_int_eq(storage_parse(data, sizeof(data), &read), -EINVAL);
}
END_TEST

START_TEST(parses_noise)
{
	struct storage_header read;
	uint8_t data[1024];

	srand(1);
	for (unsigned int i = 0; i < 100000; i++) {
		size_t len = header(data, 2 + i % 2, "base.img", RAW);
		for (unsigned int j = 0; j < 4; j++)
			data[8 + (unsigned int)rand() % (len - 8)] = (uint8_t)rand();
		if (storage_parse(data, len, &read) == 0)
			ck_assert_uint_lt(strlen(read.backing), sizeof(read.backing));
	}
}
END_TEST

static const struct {
	const char *uri, *host, *port, *path, *name; /* NULL: refused */
} uris[] = {
	{"nbd://host", "host", "10809", "", ""},
	{"nbd://host/", "host", "10809", "", ""},
	{"nbd://10.0.0.1:99/disk", "10.0.0.1", "99", "", "disk"},
	{"nbd://[::1]:99/a/b", "::1", "99", "", "a/b"},
	{"nbd://[::1]", "::1", "10809", "", ""},
	{"nbd://h/a%20b%2C", "h", "10809", "", "a b,"},
	{"nbd+unix:///?socket=/run/s", "", "", "/run/s", ""},
	{"nbd+unix:///disk?socket=/run/s%2Cx", "", "", "/run/s,x", "disk"},
	{"nbd://", NULL, NULL, NULL, NULL},
	{"nbd:///x", NULL, NULL, NULL, NULL},
	{"nbd://h:", NULL, NULL, NULL, NULL},
	{"nbd://h:x/", NULL, NULL, NULL, NULL},
	{"nbd://h:123456/", NULL, NULL, NULL, NULL},
	{"nbd://[::1", NULL, NULL, NULL, NULL},
	{"nbd://[::1]x", NULL, NULL, NULL, NULL},
	{"nbd://u@h/", NULL, NULL, NULL, NULL},
	{"nbd://h/x?socket=/s", NULL, NULL, NULL, NULL},
	{"nbd://h/%", NULL, NULL, NULL, NULL},
	{"nbd://h/%4", NULL, NULL, NULL, NULL},
	{"nbd://h/%zz", NULL, NULL, NULL, NULL},
	{"nbd://h/a%00b", NULL, NULL, NULL, NULL},
	{"nbd+unix://", NULL, NULL, NULL, NULL},
	{"nbd+unix:///disk", NULL, NULL, NULL, NULL},
	{"nbd+unix:///?socket=", NULL, NULL, NULL, NULL},
	{"nbd+unix:///?socket=/a&b=c", NULL, NULL, NULL, NULL},
	{"nbd+unix://h/?socket=/s", NULL, NULL, NULL, NULL},
	{"http://h", NULL, NULL, NULL, NULL},
};

START_TEST(parses_uris)
{
	struct storage_nbd nbd;

	ck_assert_int_eq(storage_parse_nbd(uris[_i].uri, &nbd), uris[_i].name ? 0 : -EINVAL);
	if (!uris[_i].name)
		return;
	ck_assert_str_eq(nbd.host, uris[_i].host);
	ck_assert_str_eq(nbd.port, uris[_i].port);
	ck_assert_str_eq(nbd.path, uris[_i].path);
	ck_assert_str_eq(nbd.name, uris[_i].name);
}
END_TEST

START_TEST(long_uris)
{
	static char uri[8192];
	struct storage_nbd nbd;

	memset(uri, 'a', sizeof(uri) - 1);
	memcpy(uri, "nbd://h/", 8);
	ck_assert_int_eq(storage_parse_nbd(uri, &nbd), -EINVAL);
	memcpy(uri, "nbd://hhh", 9);
	ck_assert_int_eq(storage_parse_nbd(uri, &nbd), -EINVAL);
	memcpy(uri, "nbd+unix:///?socket=", 20);
	ck_assert_int_eq(storage_parse_nbd(uri, &nbd), -EINVAL);
}
END_TEST

/* --- from an image to its backing files -------------------------------------------------------- */

static struct storage_config *config;
static struct storage_locks locks;

static void setup(void)
{
	char path[96];

	runtime_dir_setup();
	snprintf(path, sizeof(path), "%s/in", top);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	config = calloc(1, sizeof(*config));
}

static void teardown(void)
{
	storage_locks_release(&locks);
	free(config);
	runtime_dir_teardown();
}

static const char *at(const char *name)
{
	static char path[4][128];
	static unsigned int next;
	char *to = path[next++ % 4];

	snprintf(to, sizeof(path[0]), "%s/%s", top, name);
	return to;
}

static void make(const char *name, const char *backing, const char *format)
{
	uint8_t data[1024];
	size_t len = header(data, 3, backing, format);
	FILE *file = fopen(at(name), "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, len, file), len);
	fclose(file);
}

static void make_raw(const char *name)
{
	int fd = open(at(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, MIB), 0);
	close(fd);
}

static int follow(const char *name, bool format_said, const char *backing)
{
	const struct storage_image image = {
		.file = at(name), .said = format_said, .backing = backing};
	uint64_t size = 0;

	log_text();
	storage_locks_release(&locks);
	int error = storage_follow(&image, config, &locks, &size);
	if (!error)
		ck_assert_uint_eq(size, 64 * MIB);
	return error;
}

START_TEST(follows)
{
	make_raw("in/base.img");
	make("in/middle", "base.img", RAW);
	make("top.qcow2", "in/middle", QCOW2);
	ck_assert_int_eq(follow("top.qcow2", false, NULL), 0);
	ck_assert_uint_eq(config->layers, 3);
	ck_assert_str_eq(config->layer[1].file, at("in/middle"));
	ck_assert_str_eq(config->layer[2].file, at("in/base.img"));
	ck_assert(config->layer[0].qcow2 && config->layer[1].qcow2 && !config->layer[2].qcow2);
}
END_TEST

/* A raw backing file stays raw, whatever it looks like: its own names are not followed. */
START_TEST(raw_is_raw)
{
	make("base.img", "/etc/shadow", RAW);
	make("top.qcow2", "base.img", RAW);
	ck_assert_int_eq(follow("top.qcow2", false, NULL), 0);
	ck_assert_uint_eq(config->layers, 2);
	ck_assert(!config->layer[1].qcow2);
}
END_TEST

START_TEST(stays_in_its_folder)
{
	make_raw("out.img");
	make("in/a.qcow2", "../out.img", RAW);
	ck_assert_int_eq(follow("in/a.qcow2", true, NULL), -EACCES);
	assert_said("outside of its folder");
	/* By a link, too; and by one that leads back, it may. */
	ck_assert_int_eq(symlink("../out.img", at("in/link")), 0);
	make("in/a.qcow2", "link", RAW);
	ck_assert_int_eq(follow("in/a.qcow2", true, NULL), -EACCES);
	make("in/a.qcow2", "../in/a.qcow2", RAW);
	make_raw("in/b.img");
	make("in/a.qcow2", "../in/b.img", RAW);
	ck_assert_int_eq(follow("in/a.qcow2", true, NULL), 0);
	/* A folder whose name only begins alike is another one. */
	ck_assert_int_eq(mkdir(at("in2"), 0700), 0);
	make_raw("in2/c.img");
	make("in/a.qcow2", at("in2/c.img"), RAW);
	ck_assert_int_eq(follow("in/a.qcow2", true, NULL), -EACCES);
	ck_assert_int_eq(follow("in/a.qcow2", true, at("in2")), 0);
	ck_assert_int_eq(follow("in/a.qcow2", true, at("in")), -EACCES);
	/* So for each layer. */
	make("in/b.qcow2", "a.qcow2", QCOW2);
	ck_assert_int_eq(follow("in/b.qcow2", true, NULL), -EACCES);
	ck_assert_int_eq(follow("in/b.qcow2", true, at("in2")), 0);
}
END_TEST

/* A raw disk whose guest has written a header into it. */
START_TEST(follows_only_what_is_meant)
{
	make_raw("base.img");
	make("disk.img", "base.img", RAW);
	ck_assert_int_eq(follow("disk.img", false, NULL), -EINVAL);
	assert_said("write format=qcow2");
	ck_assert_int_eq(follow("disk.img", true, NULL), 0);
	make("disk.img", NULL, NULL);
	ck_assert_int_eq(follow("disk.img", false, NULL), 0);
}
END_TEST

START_TEST(refuses)
{
	make_raw("base.img");
	make("a.qcow2", "base.img", NULL);
	ck_assert_int_eq(follow("a.qcow2", true, NULL), -EINVAL);
	assert_said("does not tell its backing file's format");
	make("a.qcow2", "base.img", "vmdk");
	ck_assert_int_eq(follow("a.qcow2", true, NULL), -EINVAL);
	assert_said("has the format vmdk");
	make("a.qcow2", "base.img", QCOW2);
	ck_assert_int_eq(follow("a.qcow2", true, NULL), -EINVAL);
	assert_said("is no qcow2 image");
	make("a.qcow2", "nowhere", RAW);
	ck_assert_int_eq(follow("a.qcow2", true, NULL), -ENOENT);
	assert_said("'nowhere', the backing file of the disk");
	make("a.qcow2", "nbd://host/x", RAW);
	ck_assert_int_eq(follow("a.qcow2", true, NULL), -ENOENT);
	make("a.qcow2", "a.qcow2", QCOW2);
	ck_assert_int_eq(follow("a.qcow2", true, NULL), -ELOOP);
	ck_assert_int_eq(mkfifo(at("pipe"), 0600), 0);
	make("a.qcow2", "pipe", RAW);
	ck_assert_int_eq(follow("a.qcow2", true, NULL), -EINVAL);
	assert_said("neither a regular file nor a block device");
	ck_assert_int_eq(follow("base.img", true, NULL), -EINVAL);
	ck_assert_int_eq(follow("nothing", true, NULL), -ENOENT);
}
END_TEST

/* Its own backing file, over another: it ends. */
START_TEST(refuses_loops)
{
	const struct storage_image image = {.file = at("a.qcow2"), .read_only = true, .said = true};
	uint64_t size;

	make("a.qcow2", "b.qcow2", QCOW2);
	make("b.qcow2", "a.qcow2", QCOW2);
	ck_assert_int_eq(storage_follow(&image, config, &locks, &size), -ELOOP);
	assert_said("more than 7 backing files");
}
END_TEST

START_TEST(refuses_one_in_use)
{
	make("a.qcow2", NULL, NULL);
	int fd = open(at("a.qcow2"), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(image_lock(fd, false), 0);
	ck_assert_int_eq(follow("a.qcow2", true, NULL), -EAGAIN);
	assert_said("is in use already");
	close(fd);
	ck_assert_int_eq(follow("a.qcow2", true, NULL), 0);
}
END_TEST

/* A backing file may be read by all, and written by none, for as long as the guest runs. */
START_TEST(locks_backing_files)
{
	make_raw("base.img");
	make("middle.qcow2", "base.img", RAW);
	make("top.qcow2", "middle.qcow2", QCOW2);
	ck_assert_int_eq(follow("top.qcow2", true, NULL), 0);
	for (unsigned int i = 0; i < 2; i++) {
		int fd = open(at(i ? "base.img" : "middle.qcow2"), O_RDWR | O_CLOEXEC);
		ck_assert_int_eq(image_lock(fd, false), -EAGAIN);
		close(fd);
		fd = open(at(i ? "base.img" : "middle.qcow2"), O_RDONLY | O_CLOEXEC);
		ck_assert_int_eq(image_lock(fd, true), 0);
		close(fd);
	}
	/* The image itself is the program's to lock. */
	int fd = open(at("top.qcow2"), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(image_lock(fd, false), 0);
	close(fd);
	storage_locks_release(&locks);
	fd = open(at("base.img"), O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(image_lock(fd, false), 0);
	close(fd);
}
END_TEST

/* --- the program ----------------------------------------------------------------------------- */

static bool has(const struct storage_arguments *arguments, const char *word)
{
	for (unsigned int i = 0; arguments->argv[i]; i++)
		if (strstr(arguments->argv[i], word))
			return true;
	return false;
}

START_TEST(command_line)
{
	struct storage_arguments arguments;
	struct storage_nbd nbd = {.host = "h", .port = "1", .name = "a,b"};

	config->layers = 2;
	config->layer[0] = (struct storage_layer){.file = "/a,b.qcow2", .qcow2 = true};
	config->layer[1] = (struct storage_layer){.file = "/dev/sdb", .device = true};
	ck_assert_int_eq(storage_arguments(&arguments, config, 7), 0);
	ck_assert(has(&arguments, "driver=file,node-name=file0,read-only=off,locking=on"));
	ck_assert(has(&arguments, "filename=/a,,b.qcow2"));
	ck_assert(has(&arguments, "driver=host_device,node-name=file1,read-only=on,locking=on"));
	ck_assert(has(&arguments, "driver=raw,node-name=disk1,file=file1,read-only=on"));
	ck_assert(has(&arguments, "driver=qcow2,node-name=disk0"));
	ck_assert(has(&arguments, "backing=disk1"));
	ck_assert(has(&arguments, "addr.str=7,writable=on"));
	storage_arguments_release(&arguments);

	config->read_only = config->direct = true;
	config->layers = STORAGE_LAYERS_MAX;
	ck_assert_int_eq(storage_arguments(&arguments, config, 7), 0);
	ck_assert(has(&arguments, "node-name=file0,read-only=on"));
	ck_assert(has(&arguments, "cache.direct=on"));
	ck_assert(has(&arguments, "writable=off"));
	storage_arguments_release(&arguments);

	config->nbd = &nbd;
	ck_assert_int_eq(storage_arguments(&arguments, config, 7), 0);
	ck_assert(has(&arguments, "server.type=inet,server.host=h,server.port=1,export=a,,b"));
	ck_assert(!has(&arguments, "driver=file"));
	storage_arguments_release(&arguments);
	strcpy(nbd.path, "/run/a,b");
	ck_assert_int_eq(storage_arguments(&arguments, config, 7), 0);
	ck_assert(has(&arguments, "server.type=unix,server.path=/run/a,,b"));
	storage_arguments_release(&arguments);
}
END_TEST

/* A shell script in its place, which may write nothing but the disk. */
static void program(const char *body)
{
	char path[160];
	FILE *file = fopen(at("qemu-storage-daemon"), "w");

	ck_assert_ptr_nonnull(file);
	fprintf(file, "#!/bin/sh\n%s\n", body);
	fclose(file);
	ck_assert_int_eq(chmod(at("qemu-storage-daemon"), 0755), 0);
	snprintf(path, sizeof(path), "%s:/usr/bin:/bin", top);
	setenv("PATH", path, 1);
}

static struct backend server;

static int start(void)
{
	char why[BACKEND_WHY_SIZE] = "";

	make_raw("disk");
	config->layers = 1;
	snprintf(config->layer[0].file, sizeof(config->layer[0].file), "%s", at("disk"));
	int fd = backend_start(&server, &storage_program, config, why);
	ck_assert_msg(fd >= 0, "%s", why);
	return fd;
}

/* Waits for the reason of its end. */
static const char *reason(void)
{
	static char why[BACKEND_WHY_SIZE];
	ck_assert_int_eq(backend_wait(&server, why, LIMIT_MS), -ENOMSG);
	return why;
}

START_TEST(tells_why_it_ended)
{
	/* Its own directory is none of those that it may run programs from: without Landlock it runs. */
	program("echo 'no such image' >&2; exit 1");
	int fd = start();
	const char *why = reason();
	ck_assert_msg(strstr(why, "no such image") || strstr(why, "Permission denied"), "%s", why);
	close(fd);
	backend_stop(&server);
}
END_TEST

START_TEST(not_installed)
{
	char why[BACKEND_WHY_SIZE];

	setenv("PATH", top, 1);
	ck_assert_int_lt(backend_start(&server, &storage_program, config, why), 0);
	ck_assert_ptr_nonnull(strstr(why, "not installed; Debian's package is qemu-system-common"));
}
END_TEST

Suite *storage_suite(void);
Suite *storage_suite(void)
{
	Suite *suite = suite_create("storage");
	TCase *tc = tcase_create("pure"), *files = tcase_create("files");

	tcase_add_test(tc, parses);
	tcase_add_loop_test(tc, refuses_broken_headers, 0, sizeof(broken) / sizeof(broken[0]));
	tcase_add_test(tc, parses_noise);
	tcase_add_loop_test(tc, parses_uris, 0, sizeof(uris) / sizeof(uris[0]));
	tcase_add_test(tc, long_uris);
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(files, setup, teardown);
	tcase_add_test(files, follows);
	tcase_add_test(files, raw_is_raw);
	tcase_add_test(files, stays_in_its_folder);
	tcase_add_test(files, follows_only_what_is_meant);
	tcase_add_test(files, refuses);
	tcase_add_test(files, refuses_loops);
	tcase_add_test(files, refuses_one_in_use);
	tcase_add_test(files, locks_backing_files);
	tcase_add_test(files, command_line);
	tcase_add_test(files, tells_why_it_ended);
	tcase_add_test(files, not_installed);
	suite_add_tcase(suite, files);
	return suite;
}
