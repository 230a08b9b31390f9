// SPDX-License-Identifier: Apache-2.0
#include "vmm/images/make.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "vmm/images/images.h"
#include "vmm/images/sources.h"
#include "vmm/lib/end_signals.h"
#include "vmm/lib/find_program.h"
#include "vmm/lib/log.h"
#include "vmm/lib/program.h"

#define UUID_SIZE 37
#define ARGS_MAX  (SOURCES_MAX + 16)

/* What a guest needs to be used: its start, a network, an SSH server, apt's certificates. */
static const char packages[] =
	"ca-certificates,dbus,initramfs-tools,iproute2,openssh-server,systemd-resolved,"
	"systemd-sysv,udev,usr-is-merged,zstd";

/* systemd looks for a vsock before it loads modules; and no PCI device brings this one. */
static const char essential_hook[] =
	"set -eu; dir=$1/usr/share/initramfs-tools/modules.d; mkdir -p \"$dir\"\n"
	"echo vmw_vsock_virtio_transport >\"$dir/ebb\"\n";

/* What an installer would set, in the tree "$1"; a line before it sets uuid. */
static const char customize_hook[] =
	"set -eu; cd \"$1\"\n"
	/* Debian's links name the newest kernel, also after an upgrade; one of 7.x is beside its modules. */
	"[ -e vmlinuz ] || { cp usr/lib/modules/*/vmlinu? boot/vmlinuz; ln -s boot/vmlinuz vmlinuz; }\n"
	"mkdir -p boot/loader/entries\n"
	"printf 'title Debian\\nlinux /vmlinuz\\ninitrd /initrd.img\\noptions root=UUID=%s rw net.ifnames=0\\n' \"$uuid\" \\\n"
	"	>boot/loader/entries/debian.conf\n"
	/* What is deleted leaves the host's disk, too. */
	"printf 'UUID=%s / ext4 discard,errors=remount-ro 0 1\\n' \"$uuid\" >etc/fstab\n"
	"printf '[Match]\\nName=eth*\\n[Network]\\nDHCP=yes\\n' >etc/systemd/network/ebb.network\n"
	"cd etc/systemd/system\n"
	"ln -s /usr/lib/systemd/system/systemd-networkd.service multi-user.target.wants/\n"
	/* What systemd 256 has by itself. */
	"if [ ! -e \"$1\"/usr/lib/systemd/system-generators/systemd-ssh-generator ]; then\n"
	"	printf '[Socket]\\nListenStream=vsock::22\\nAccept=yes\\n' >ebb-ssh.socket\n"
	"	printf '[Service]\\nExecStart=-/usr/sbin/sshd -i\\nStandardInput=socket\\nRuntimeDirectory=sshd\\n"
	"RuntimeDirectoryPreserve=yes\\n' >ebb-ssh@.service\n"
	"	mkdir -p sockets.target.wants; ln -s ../ebb-ssh.socket sockets.target.wants/\n"
	"fi\n"
	"cd \"$1\"\n"
	"ln -sf ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf\n"
	"echo debian >etc/hostname\n"
	/* On the console, which is the user's; sshd wants a key. */
	"chroot . passwd -q -d root\n";

/* "$0": the folder of the work; "$1": the file system's UUID, "$2": its size in KiB. */
static const char disk_script[] =
	"set -eu; cd \"$0\"; mkdir root; tar -x -C root -f root.tar; rm root.tar\n"
	/* The file is new: it reads as zeros. */
	"exec mke2fs -q -t ext4 -d root -m 0 -L ebb -U \"$1\" -E lazy_itable_init=0,assume_storage_prezeroed=1 " IMAGE_DISK
	" \"$2\"k >/dev/null\n";

struct work {
	const struct image_recipe *recipe;
	const char *suite;
	char folder[PATH_MAX]; /* .NAME.new */
	char final[PATH_MAX];
	char uuid[UUID_SIZE];
	char kernel[256];
	int lock; /* of the folder, or -1 */
	sigset_t mask;
};

/* --- the folder ------------------------------------------------------------------------------- */

/* Makes the folder of all images, as the XDG specification wants it. */
static int make_folders(char *path)
{
	for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		int error = mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
		*slash = '/';
		if (error)
			return error;
	}
	return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

/* Returns whether @fd is what has the name @path. */
static bool is_still(int fd, const char *path)
{
	struct stat st, named;
	return fstat(fd, &st) == 0 && lstat(path, &named) == 0 && st.st_dev == named.st_dev &&
	       st.st_ino == named.st_ino;
}

/* Makes .NAME.new, or takes over a dead one's. Returns 0, -EBUSY if a live one has it, or -errno. */
static int lock_folder(struct work *work)
{
	if (mkdir(work->folder, 0700) != 0 && errno != EEXIST)
		return -errno;
	work->lock = open(work->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (work->lock < 0)
		return errno == ENOENT ? -EBUSY : -errno;
	/* Another one may have renamed or removed it meanwhile. */
	if (flock(work->lock, LOCK_EX | LOCK_NB) == 0 && is_still(work->lock, work->folder))
		return 0;
	close(work->lock);
	work->lock = -1;
	return -EBUSY;
}

static int say_there_is(const struct work *work)
{
	log_error("there is an image \"%s\" already; name another, or remove it with \"ebb images "
		  "--remove %s\"",
		  work->recipe->name, work->recipe->name);
	return -EEXIST;
}

static int work_begin(struct work *work)
{
	const char *name = work->recipe->name;
	char folder[PATH_MAX];

	int error = images_path(folder, sizeof(folder));
	if (error)
		return error;
	error = make_folders(folder);
	snprintf(work->folder, sizeof(work->folder), "%.*s/.%s.new", PATH_MAX - 128, folder, name);
	snprintf(work->final, sizeof(work->final), "%.*s/%s", PATH_MAX - 128, folder, name);
	if (!error)
		error = lock_folder(work);
	if (!error && access(work->final, F_OK) == 0)
		return say_there_is(work);
	if (error == -EBUSY)
		log_error("another \"ebb setup\" is making the image \"%s\" now; wait for it",
			  name);
	else if (error)
		log_error("cannot make the folder %s: %s", work->folder, strerror(-error));
	return error;
}

/* Removes what has failed. */
static void work_remove(struct work *work)
{
	int error = images_remove_tree(work->folder);
	if (error)
		log_warn("cannot remove %s: %s", work->folder, strerror(-error));
}

/* --- the steps -------------------------------------------------------------------------------- */

static int run_failed(const char *what, int status)
{
	if (status == -EINTR)
		log_error("a signal came: the image is not made, and nothing is left of it");
	else if (status < 0)
		log_error("%s failed: %s", what, strerror(-status));
	else if (status > 128)
		log_error("%s was ended by signal %d: the image is not made", what, status - 128);
	else
		log_error(
			"%s failed with status %d: the image is not made; what is wrong is said above",
			what, status);
	return status < 0 ? status : -EIO;
}

/* Its lock is held until the last process that works on it has ended. */
static int run(const struct work *work, char *const argv[])
{
	const struct program program = {argv[0], argv, STDERR_FILENO, work->lock, &work->mask, 0};

	return program_run(&program);
}

/* Root in a container may be unable to mount; for others mmdebstrap finds a way by itself. */
static bool cannot_mount(const struct work *work)
{
	char *const words[] = {"unshare", "--mount", "true", NULL};
	return geteuid() == 0 && run(work, words) != 0;
}

static const char *kernel_package(void)
{
	struct utsname host;
	uname(&host);
	return strcmp(host.machine, "x86_64") == 0    ? "linux-image-cloud-amd64"
	       : strcmp(host.machine, "aarch64") == 0 ? "linux-image-cloud-arm64"
						      : "linux-image-riscv64";
}

/* Makes root.tar of packages. */
static int install(struct work *work, const struct sources *sources)
{
	const struct image_recipe *recipe = work->recipe;
	char line[SOURCES_MAX][SOURCES_LINE_SIZE];
	unsigned int lines = sources_lines(sources, work->suite, sources_keyring(), line);
	char *include = NULL, *customize = NULL, *essential = NULL, *tar = NULL;
	char *argv[ARGS_MAX];
	int argc = 0, error = -ENOMEM;

	if (asprintf(&include, "--include=%s,%s%s%s", packages, kernel_package(),
		     recipe->include ? "," : "", recipe->include ? recipe->include : "") < 0 ||
	    asprintf(&essential, "--essential-hook=%s", essential_hook) < 0 ||
	    asprintf(&customize, "--customize-hook=uuid=%s\n%s", work->uuid, customize_hook) < 0 ||
	    asprintf(&tar, "%s/root.tar", work->folder) < 0)
		goto out;
	argv[argc++] = "mmdebstrap";
	argv[argc++] = "--variant=minbase";
	argv[argc++] = "--format=tar";
	if (cannot_mount(work))
		argv[argc++] = "--mode=fakechroot";
	argv[argc++] = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr";
	argv[argc++] = include;
	argv[argc++] = essential;
	argv[argc++] = customize;
	argv[argc++] = (char *)work->suite;
	argv[argc++] = tar;
	for (unsigned int i = 0; i < lines; i++)
		argv[argc++] = line[i];
	argv[argc] = NULL;
	error = run(work, argv);
	if (error)
		error = run_failed(argv[0], error);
out:
	free(include);
	free(essential);
	free(customize);
	free(tar);
	return error;
}

/* Makes the disk of it. fakeroot keeps owners that an ordinary user cannot give a file. */
static int make_disk(struct work *work)
{
	char kib[32];
	char *const argv[] = {"fakeroot",   "sh",	"-c", (char *)disk_script,
			      work->folder, work->uuid, kib,  NULL};
	unsigned int first = geteuid() == 0 ? 1 : 0;

	snprintf(kib, sizeof(kib), "%llu", (unsigned long long)work->recipe->size >> 10);
	int error = run(work, argv + first);
	return error ? run_failed("making the file system", error) : 0;
}

/* Finds the version of the kernel that the tree has, "?" if it does not say. */
static void find_kernel(struct work *work)
{
	char path[PATH_MAX];
	struct dirent *entry;

	snprintf(path, sizeof(path), "%.*s/root/usr/lib/modules", PATH_MAX - 64, work->folder);
	DIR *modules = opendir(path);
	snprintf(work->kernel, sizeof(work->kernel), "?");
	while (modules && (entry = readdir(modules)))
		if (entry->d_name[0] != '.')
			snprintf(work->kernel, sizeof(work->kernel), "%s", entry->d_name);
	if (modules)
		closedir(modules);
}

/* Waits until the host's disk has @name, in @folder, as it is. */
static int sync_in(const char *folder, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.*s/%s", PATH_MAX - 64, folder, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int error = fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

/* What has the image's name is a whole one, also after the host has lost power. */
static int give_name(const struct work *work)
{
	int error = sync_in(work->folder, IMAGE_DISK);
	if (!error)
		error = sync_in(work->folder, IMAGE_ABOUT);
	if (!error)
		error = sync_in(work->folder, ".");
	if (error)
		return error;
	if (renameat2(AT_FDCWD, work->folder, AT_FDCWD, work->final, RENAME_NOREPLACE) != 0)
		return -errno;
	sync_in(work->final, "..");
	return 0;
}

/* Leaves only what an image has: its disk, and what it says of itself. */
static int finish(struct work *work)
{
	char path[PATH_MAX];

	find_kernel(work);
	snprintf(path, sizeof(path), "%.*s/root", PATH_MAX - 64, work->folder);
	int error = images_remove_tree(path);
	json_t *about = json_pack("{s:s, s:s, s:I}", "suite", work->suite, "kernel", work->kernel,
				  "made", (json_int_t)time(NULL));
	snprintf(path, sizeof(path), "%.*s/" IMAGE_ABOUT, PATH_MAX - 64, work->folder);
	if (!error && (!about || json_dump_file(about, path, JSON_INDENT(2)) != 0))
		error = -EIO;
	json_decref(about);
	if (!error)
		error = give_name(work);
	if (error == -EEXIST)
		return say_there_is(work);
	if (error)
		log_error("cannot finish the image \"%s\": %s", work->recipe->name,
			  strerror(-error));
	return error;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Says before the minutes are spent what is missing. */
static int check_programs(void)
{
	static const struct {
		const char *name, *package;
		bool root_too;
	} program[] = {{"mmdebstrap", "mmdebstrap", true},
		       {"mke2fs", "e2fsprogs", true},
		       {"fakeroot", "fakeroot", false}};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(program) / sizeof(program[0]); i++)
		if ((program[i].root_too || geteuid() != 0) &&
		    !find_program(getenv("PATH"), program[i].name, path)) {
			log_error("ebb setup needs the program %s; install the package %s",
				  program[i].name, program[i].package);
			return -ENOENT;
		}
	return 0;
}

/* An ordinary user's PATH may lack these folders. */
static int extend_path(void)
{
	const char *path = getenv("PATH");
	char *extended = NULL;

	if (asprintf(&extended, "%s:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin") < 0)
		return -ENOMEM;
	setenv("PATH", extended, 1);
	free(extended);
	return 0;
}

static int new_uuid(char uuid[UUID_SIZE])
{
	int fd = open("/proc/sys/kernel/random/uuid", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, uuid, UUID_SIZE - 1);

	if (fd >= 0)
		close(fd);
	uuid[UUID_SIZE - 1] = '\0';
	if (len == UUID_SIZE - 1)
		return 0;
	log_error("cannot read /proc/sys/kernel/random/uuid");
	return -EIO;
}

/* With the folder locked, in which a dead one may have left something. */
static int make_locked(struct work *work, const struct sources *sources)
{
	int error = images_empty_folder(work->folder);
	if (error) {
		log_error("cannot empty %s: %s", work->folder, strerror(-error));
		return error;
	}
	log_info("making the image \"%s\" of Debian's %s, from packages; this takes minutes",
		 work->recipe->name, work->suite);
	if (sources_lack_security(sources, work->suite))
		log_warn(
			"the image has no security updates of %s: apt on this machine has none of its own "
			"suite; add them to the guest's /etc/apt/sources.list",
			work->suite);
	error = install(work, sources);
	if (!error)
		error = make_disk(work);
	return error ? error : finish(work);
}

int image_make(const struct image_recipe *recipe)
{
	struct work work = {.recipe = recipe, .lock = -1};
	struct sources sources;
	sigset_t ends;

	int error = extend_path();
	if (!error)
		error = check_programs();
	if (!error)
		error = sources_read(&sources);
	if (!error)
		error = new_uuid(work.uuid);
	if (error)
		return error;
	work.suite = recipe->suite ? recipe->suite : sources_own(&sources);
	end_signals_hold(&ends, &work.mask);
	error = work_begin(&work);
	if (!error)
		error = make_locked(&work, &sources);
	if (work.lock >= 0) {
		if (error)
			work_remove(&work);
		close(work.lock);
	}
	return error == -ENOENT ? -EIO : error; /* the caller would take it for what is missing */
}
