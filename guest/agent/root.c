// SPDX-License-Identifier: Apache-2.0
/*
 * The command's file tree: what the host shares, read-only, under a private layer in the guest's memory; over that the
 * folders that are shared as they are, each at the place that it has on the host.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "guest/agent/agent.h"

#define HOST  "/host"
#define LAYER "/layer"
#define NEW   "/new"

static void must_mount(const char *source, const char *at, const char *type, unsigned long flags,
		       const char *data, const char *what)
{
	mkdir(at, 0755);
	if (mount(source, at, type, flags, data) < 0)
		fail(what);
}

/* Shows @from at @to, which is made for it: a folder, or a file as anything else is. */
static void bind_at(const char *from, const char *to, mode_t mode, const char *what)
{
	if (S_ISDIR(mode))
		mkdir(to, 0755);
	else
		close(open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		fail(what);
}

/* Shows @from, which is not to be changed, at @to in the new root. */
static void graft(const char *from, const char *to)
{
	struct stat about;
	char link[PATH_MAX] = "";

	if (lstat(from, &about) < 0)
		fail("look at the host's folders");
	if (S_ISLNK(about.st_mode)) {
		if (readlink(from, link, sizeof(link) - 1) < 0 || symlink(link, to) < 0)
			fail("copy a link");
		return;
	}
	bind_at(from, to, about.st_mode, "show the host's folders");
}

/* The same for each name in the folder @from, but @apart. */
static void graft_all(const char *from, const char *to, const char *apart)
{
	DIR *dir = opendir(from);
	struct dirent *entry;

	if (!dir)
		fail("read the host's folders");
	while ((entry = readdir(dir))) {
		char source[PATH_MAX], target[PATH_MAX];
		snprintf(source, sizeof(source), "%s/%s", from, entry->d_name);
		snprintf(target, sizeof(target), "%s/%s", to, entry->d_name);
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    strcmp(entry->d_name, apart) != 0)
			graft(source, target);
	}
	closedir(dir);
}

/*
 * overlayfs opens what is below it with O_NOATIME, which only a file's owner may, or root. Where the
 * server is neither, it could read nothing: the folders are shown as they are then, beside what is in memory.
 */
static bool can_have_layer(void)
{
	struct stat about;
	return stat(HOST "/" AGENT_ROOT "/usr", &about) == 0 && about.st_uid == 0;
}

static void make_layers(void)
{
	must_mount(AGENT_TAG, HOST, "virtiofs", MS_NODEV, NULL,
		   "mount the host's folders: the kernel needs CONFIG_VIRTIO_FS");
	if (!can_have_layer()) {
		must_mount("root", NEW, "tmpfs", 0, "mode=755", "mount a tmpfs");
		graft_all(HOST "/" AGENT_ROOT, NEW, "etc");
		mkdir(NEW "/etc", 0755);
		graft_all(HOST "/" AGENT_ROOT "/etc", NEW "/etc", "");
		return;
	}
	must_mount("layer", LAYER, "tmpfs", 0, "mode=755", "mount a tmpfs");
	mkdir(LAYER "/upper", 0755);
	mkdir(LAYER "/work", 0755);
	must_mount("root", NEW, "overlay", 0,
		   "lowerdir=" HOST "/" AGENT_ROOT ",upperdir=" LAYER "/upper,workdir=" LAYER
		   "/work",
		   "mount a layer over the host's folders: the kernel needs CONFIG_OVERLAY_FS");
}

static void make_folders(void)
{
	static const struct {
		const char *path;
		mode_t mode;
	} folders[] = {
		{"/proc", 0555},      {"/sys", 0555},	   {"/dev", 0755},     {"/etc", 0755},
		{"/run", 0755},	      {"/root", 0700},	   {"/home", 0755},    {"/mnt", 0755},
		{"/var", 0755},	      {"/var/tmp", 01777}, {"/var/log", 0755}, {"/var/lib", 0755},
		{"/var/cache", 0755}, {"/tmp", 01777},
	};
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		mkdir(folders[i].path, 0755);
		chmod(folders[i].path, folders[i].mode);
	}
}

static void mount_kernels(void)
{
	must_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, "mount /proc");
	must_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, "mount /sys");
	must_mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, NULL, "mount /dev");
	must_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666",
		   "mount /dev/pts");
	must_mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", "mount /dev/shm");
	if (access("/dev/fd", F_OK) == 0)
		return;
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") ||
	    symlink("fd/1", "/dev/stdout") || symlink("fd/2", "/dev/stderr"))
		fail("complete /dev");
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		fail("write a file in /etc");
}

/* As the network's script left it, or "": it is read before the root changes, and written after. */
static void read_file(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "r");

	*text = '\0';
	if (!file)
		return;
	text[fread(text, 1, size - 1, file)] = '\0';
	fclose(file);
}

static void make_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
}

/* A folder of the host, or a file, by a descriptor from before the root changed. */
static void show(int fd, char *path)
{
	struct stat about;
	char from[64], what[PATH_MAX + 32];

	snprintf(what, sizeof(what), "show %s", path);
	make_parents(path);
	if (fstat(fd, &about) < 0)
		fail(what);
	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	bind_at(from, path, about.st_mode, what);
	close(fd);
}

void make_root(const struct wanted *wanted)
{
	char resolv[4096];
	int *dir = calloc(wanted->dir_count + 1, sizeof(*dir));

	if (!dir)
		fail("get memory");
	read_file("/etc/resolv.conf", resolv, sizeof(resolv));
	make_layers();
	for (unsigned int i = 0; i < wanted->dir_count; i++) {
		char path[64];
		snprintf(path, sizeof(path), HOST "/" AGENT_DIRS "/%u", i);
		dir[i] = open(path, O_PATH | O_CLOEXEC);
		if (dir[i] < 0)
			fail("find a shared folder");
	}
	if (chdir(NEW) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		fail("change the root");
	make_folders();
	mount_kernels();
	write_file("/etc/hostname", "sandbox\n");
	write_file("/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n");
	write_file("/etc/resolv.conf", resolv);
	sethostname("sandbox", 7);
	for (unsigned int i = 0; i < wanted->dir_count; i++)
		show(dir[i], wanted->dirs[i]);
	free(dir);
	if (chdir(wanted->folder) < 0)
		fail("change to the current folder");
}
