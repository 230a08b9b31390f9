// SPDX-License-Identifier: Apache-2.0
/*
 * The command's file tree: what the host shares, read-only, under a private layer in the guest's memory; over that its
 * folders, each at the place that it has on the host, with such a layer of its own or as it is.
 *
 * All layers are in one tmpfs, of half of the guest's memory: when that is full, the command is told so (ENOSPC), and the
 * other half is left to run it.
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
#define SEEN  "/seen" /* the folders with a layer over them, as the command sees them */
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
 * overlayfs opens what is below it with O_NOATIME, which only a file's owner may, or root. Where the server is neither, it
 * could read nothing. Its own user is root in the guest (vmm/virtiofsd/README.md); whoever is none there, is nobody.
 */
static bool is_servers(const char *path)
{
	struct stat about;
	return stat(path, &about) == 0 && about.st_uid == 0;
}

/* As root on the host, who owns /usr, the server may open every file. */
static bool server_is_root(void)
{
	return is_servers(HOST "/" AGENT_ROOT "/usr");
}

/* Gives the layer's own folder what is seen of it: overlayfs shows the upper one's. */
static void make_upper(const char *upper, const char *lower)
{
	struct stat about;

	mkdir(upper, 0755);
	if (stat(lower, &about) < 0 || chown(upper, about.st_uid, about.st_gid) < 0 ||
	    chmod(upper, about.st_mode & 07777) < 0)
		fail("make a layer");
}

/* Shows @lower at @at, with the layer @name over it. */
static void add_layer(const char *name, const char *lower, const char *at)
{
	char own[64], upper[64 + 8], work[64 + 8], options[512];

	snprintf(own, sizeof(own), LAYER "/%s", name);
	snprintf(upper, sizeof(upper), "%s/upper", own);
	snprintf(work, sizeof(work), "%s/work", own);
	mkdir(own, 0755);
	make_upper(upper, lower);
	mkdir(work, 0755);
	/* With redirect_dir a folder of the host can be renamed. */
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on",
		 lower, upper, work);
	must_mount("layer", at, "overlay", 0, options,
		   "mount a layer over the host's folders: the kernel needs CONFIG_OVERLAY_FS");
}

static void make_layers(void)
{
	must_mount(AGENT_TAG, HOST, "virtiofs", MS_NODEV, NULL,
		   "mount the host's folders: the kernel needs CONFIG_VIRTIO_FS");
	must_mount("layer", LAYER, "tmpfs", 0, "mode=755,size=50%", "mount a tmpfs");
	if (server_is_root()) {
		add_layer("root", HOST "/" AGENT_ROOT, NEW);
		return;
	}
	/* The system's files are shown as they are, beside what is in memory. */
	mkdir(LAYER "/root", 0755);
	must_mount(LAYER "/root", NEW, NULL, MS_BIND, NULL, "show a tmpfs");
	graft_all(HOST "/" AGENT_ROOT, NEW, "etc");
	mkdir(NEW "/etc", 0755);
	graft_all(HOST "/" AGENT_ROOT "/etc", NEW "/etc", "");
}

/* Returns the folder with this number, or file, before the root changes. A file has no layer. */
static int open_dir(unsigned int number, const struct wanted_dir *dir)
{
	char path[64], name[16], at[64];
	struct stat about;

	snprintf(path, sizeof(path), HOST "/" AGENT_DIRS "/%u", number);
	if (stat(path, &about) < 0)
		fail("find a shared folder");
	if (dir->layered && S_ISDIR(about.st_mode) && (is_servers(path) || server_is_root())) {
		snprintf(name, sizeof(name), "%u", number);
		snprintf(at, sizeof(at), SEEN "/%u", number);
		add_layer(name, path, at);
		strcpy(path, at);
	}
	return open(path, O_PATH | O_CLOEXEC);
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
	/* It has half of the memory by itself, and not each kernel heeds options where it is mounted once more. */
	must_mount("devtmpfs", "/dev", "devtmpfs", MS_REMOUNT | MS_NOSUID, "size=1m", "bound /dev");
	must_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666",
		   "mount /dev/pts");
	/* Beside the layers' half. */
	must_mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=25%",
		   "mount /dev/shm");
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
	mkdir(SEEN, 0755);
	for (unsigned int i = 0; i < wanted->dir_count; i++) {
		dir[i] = open_dir(i, &wanted->dirs[i]);
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
		show(dir[i], wanted->dirs[i].path);
	free(dir);
	if (chdir(wanted->folder) < 0)
		fail("change to the current folder");
}
