// SPDX-License-Identifier: Apache-2.0
/*
 * What a program in qemu-storage-daemon's place can still do, and that it could before: as one that a hostile image, or the
 * requests of a guest, have taken over.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/storage/storage.h"

/* The image, its backing file, and other files of the user, which lie beside them. */
#define IMAGE	"image.qcow2"
#define BASE	"base.img"
#define VICTIM	"victim"
#define PROGRAM "program"

static struct storage_config *config; /* two layers */
static struct storage_nbd nbd = {.host = "localhost", .port = "10809"};
/* Servers of the user's, on names without a file: of connections, and of datagrams. */
static int listener, reader;
static struct sockaddr_un server = {.sun_family = AF_UNIX}, journal = {.sun_family = AF_UNIX};
static socklen_t server_len, journal_len;
static bool landlock;

static const char *at(const char *name)
{
	static char path[160];
	snprintf(path, sizeof(path), "%s/%s", top, name);
	return path;
}

static void make(const char *name, mode_t mode, const char *text)
{
	int fd = open(at(name), O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	ck_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* The kernel chooses an abstract name. */
static int serve(int type, struct sockaddr_un *name, socklen_t *len)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)name, sizeof(sa_family_t)), 0);
	*len = sizeof(*name);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)name, len), 0);
	return fd;
}

static void setup(void)
{
	runtime_dir_setup();
	make(IMAGE, 0600, "image");
	make(BASE, 0600, "base");
	make(VICTIM, 0600, "victim");
	make(PROGRAM, 0700, "#!/bin/sh\n");
	config = calloc(1, sizeof(*config));
	ck_assert_ptr_nonnull(config);
	config->layers = 2;
	strcpy(config->layer[0].file, at(IMAGE));
	strcpy(config->layer[1].file, at(BASE));
	listener = serve(SOCK_STREAM, &server, &server_len);
	ck_assert_int_eq(listen(listener, 8), 0);
	reader = serve(SOCK_DGRAM, &journal, &journal_len);
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	landlock = version > 0 ? (int)version : 0;
}

static void teardown(void)
{
	close(listener);
	close(reader);
	free(config);
	runtime_dir_teardown();
}

/* --- attempts: each returns what its system call returns, with errno -------------------------- */

/* The kernel has looked at the arguments, and refused only those. */
static long asked(long done)
{
	bool looked = errno == EINVAL || errno == EBADF || errno == EFAULT || errno == ESRCH;
	return done < 0 && looked ? 0 : done;
}

static long read_a_file(void)
{
	return syscall(SYS_openat, AT_FDCWD, at(VICTIM), O_RDONLY);
}

static long write_a_file(void)
{
	return syscall(SYS_openat, AT_FDCWD, at(VICTIM), O_WRONLY);
}

static long write_the_backing_file(void)
{
	return syscall(SYS_openat, AT_FDCWD, at(BASE), O_WRONLY);
}

static long make_a_file(void)
{
	return syscall(SYS_openat, AT_FDCWD, at("new"), O_WRONLY | O_CREAT, 0600);
}

static long remove_a_file(void)
{
	return syscall(SYS_unlinkat, AT_FDCWD, at(VICTIM), 0);
}

static long rename_a_file(void)
{
	char from[160];
	strcpy(from, at(VICTIM));
	return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, at("new"), 0);
}

static long link_a_file(void)
{
	return syscall(SYS_symlinkat, "/etc/passwd", AT_FDCWD, at("new"));
}

static long list_a_folder(void)
{
	return syscall(SYS_openat, AT_FDCWD, top, O_RDONLY | O_DIRECTORY);
}

static long empty_a_file(void)
{
	return syscall(SYS_truncate, at(VICTIM), 0L);
}

static long empty_the_backing_file(void)
{
	return syscall(SYS_openat, AT_FDCWD, at(BASE), O_RDONLY | O_TRUNC);
}

static long empty_it_by_openat2(void)
{
	const uint64_t how[3] = {O_RDONLY | O_TRUNC};
	return syscall(SYS_openat2, AT_FDCWD, at(BASE), how, sizeof(how));
}

static long open_the_backing_file_to_all(void)
{
	return fchmod((int)syscall(SYS_openat, AT_FDCWD, at(BASE), O_RDONLY), 0666);
}

static long open_a_file_to_all(void)
{
	return syscall(SYS_fchmodat, AT_FDCWD, at(VICTIM), 0666);
}

static long give_a_file_away(void)
{
	return syscall(SYS_fchownat, AT_FDCWD, at(VICTIM), geteuid(), getegid(), 0);
}

static long mark_a_file(void)
{
	/* Some file systems have none of the user's. */
	long done = syscall(SYS_setxattr, at(VICTIM), "user.ebb", "x", 1UL, 0);
	return done < 0 && errno == EOPNOTSUPP ? 0 : done;
}

static long date_a_file(void)
{
	return syscall(SYS_utimensat, AT_FDCWD, at(VICTIM), NULL, 0);
}

static long run_a_program(void)
{
	char *const argv[] = {(char *)"program", NULL};
	return syscall(SYS_execve, at(PROGRAM), argv, NULL);
}

static long open_a_socket(void)
{
	return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static long connect_to_a_server(void)
{
	int fd = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
	return fd < 0 ? fd : syscall(SYS_connect, fd, &server, server_len);
}

static long send_to_a_server(int type)
{
	int pair[2];
	if (syscall(SYS_socketpair, AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	return syscall(SYS_sendto, pair[0], "x", 1UL, 0, &journal, journal_len);
}

static long send_a_datagram(void)
{
	return send_to_a_server(SOCK_DGRAM);
}

/* Which are datagrams, too, between processes of a host. */
static long send_a_raw_one(void)
{
	return send_to_a_server(SOCK_RAW);
}

/* The parent stands for ebb, and for every other process of the user. */
static long look_at_a_process(void)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/environ", getppid());
	return syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
}

static long trace(void)
{
	/* Without attaching, which would leave a thread for its tracer to reap. */
	return asked(syscall(SYS_ptrace, PTRACE_CONT, getppid(), NULL, NULL));
}

static long read_a_process(void)
{
	char byte;
	const struct iovec here = {&byte, 1}, there = {(void *)&landlock, 1};
	return syscall(SYS_process_vm_readv, getpid(), &here, 1, &there, 1, 0);
}

static long hold_a_process(void)
{
	return syscall(SYS_pidfd_open, getppid(), 0);
}

static long signal_another(void)
{
	return syscall(SYS_kill, getppid(), 0);
}

static long signal_anothers_thread(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static long queue_a_signal(void)
{
	siginfo_t info = {.si_signo = 0, .si_code = SI_QUEUE};
	return syscall(SYS_rt_sigqueueinfo, getppid(), 0, &info);
}

/* Which the kernel then sends, when something comes to be read. */
static long signal_by_a_descriptor(void)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return -1;
	return syscall(SYS_fcntl, pair[0], F_SETOWN, (long)getppid());
}

static long signal_by_a_request(void)
{
	int pair[2], parent = getppid();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return -1;
	/* The kernel looks at the lower half alone. */
	return syscall(SYS_ioctl, pair[0], 1UL << 32 | FIOSETOWN, &parent);
}

static long limit_a_process(void)
{
	struct rlimit time;
	if (syscall(SYS_prlimit64, getppid(), RLIMIT_CPU, NULL, &time) < 0)
		return -1;
	return syscall(SYS_prlimit64, getppid(), RLIMIT_CPU, &time, NULL);
}

static long pin_a_process(void)
{
	unsigned long cpus[128] = {0};
	long len = syscall(SYS_sched_getaffinity, getppid(), sizeof(cpus), cpus);
	return len < 0 ? len : syscall(SYS_sched_setaffinity, getppid(), len, cpus);
}

static long choose_a_policy(void)
{
	const struct sched_param none = {0};
	return syscall(SYS_sched_setscheduler, getppid(), SCHED_OTHER, &none);
}

static long choose_its_parameters(void)
{
	const struct sched_param none = {0};
	return syscall(SYS_sched_setparam, getppid(), &none);
}

static long choose_its_attributes(void)
{
	uint32_t attributes[16];
	if (syscall(SYS_sched_getattr, getppid(), attributes, sizeof(attributes), 0) < 0)
		return -1;
	return syscall(SYS_sched_setattr, getppid(), attributes, 0);
}

static long be_nice_for_a_process(void)
{
	long nice = 20 - syscall(SYS_getpriority, PRIO_PROCESS, getppid());
	return syscall(SYS_setpriority, PRIO_PROCESS, getppid(), nice);
}

/* 1: a process; 0: no class. */
static long choose_its_share_of_disks(void)
{
	return syscall(SYS_ioprio_set, 1, getppid(), 0);
}

/* None of its pages. A kernel without NUMA has neither call. */
static long migrate_a_process(void)
{
	long done = asked(syscall(SYS_migrate_pages, getppid(), 0L, NULL, NULL));
	return done < 0 && errno == ENOSYS ? 0 : done;
}

static long move_its_pages(void)
{
	long done = asked(syscall(SYS_move_pages, getppid(), 0L, NULL, NULL, NULL, 0));
	return done < 0 && errno == ENOSYS ? 0 : done;
}

static long leave_a_namespace(void)
{
	return syscall(SYS_unshare, CLONE_FS);
}

static long enter_a_namespace(void)
{
	return asked(syscall(SYS_setns, -1, 0));
}

/* Refused by the kernel for its flags, if it is asked. */
static long make_a_namespace(void)
{
	return asked(
		syscall(SYS_clone, CLONE_NEWUSER | CLONE_FS | SIGCHLD, NULL, NULL, NULL, NULL));
}

static long make_a_namespace_by_clone3(void)
{
	struct {
		uint64_t flags, rest[10];
	} arguments = {.flags = CLONE_THREAD};
	return asked(syscall(SYS_clone3, &arguments, sizeof(arguments)));
}

/* What takes part in the user's own System V and POSIX queues and memory. */
static long share_memory(void)
{
	return asked(syscall(SYS_shmat, -1, NULL, 0));
}

static const struct attempt {
	const char *name;
	long (*run)(void);
	int refused_with; /* EACCES: by Landlock, where the kernel has it; otherwise by the filter */
	bool by_nbd;	  /* done for a disk behind NBD */
} attempts[] = {
	{"read a file", read_a_file, EACCES, false},
	{"write a file", write_a_file, EACCES, false},
	{"write the backing file", write_the_backing_file, EACCES, false},
	{"make a file", make_a_file, EACCES, false},
	{"remove a file", remove_a_file, EACCES, false},
	{"rename a file", rename_a_file, EACCES, false},
	{"link a file", link_a_file, EACCES, false},
	{"list a folder", list_a_folder, EACCES, false},
	{"run a program", run_a_program, EACCES, false},
	{"look at a process", look_at_a_process, EACCES, false},
	{"empty a file", empty_a_file, EPERM, false},
	{"empty the backing file", empty_the_backing_file, EPERM, false},
	{"empty it by openat2", empty_it_by_openat2, ENOSYS, false},
	{"open the backing file to all", open_the_backing_file_to_all, EPERM, false},
	{"open a file to all", open_a_file_to_all, EPERM, false},
	{"give a file away", give_a_file_away, EPERM, false},
	{"mark a file", mark_a_file, EPERM, false},
	{"date a file", date_a_file, EPERM, false},
	{"open a socket", open_a_socket, EPERM, true},
	{"connect to a server", connect_to_a_server, EPERM, true},
	{"send a datagram", send_a_datagram, EPERM, true},
	{"send a raw one", send_a_raw_one, EPERM, true},
	{"trace", trace, EPERM, false},
	{"read a process", read_a_process, EPERM, false},
	{"hold a process", hold_a_process, EPERM, false},
	{"signal a process", signal_another, EPERM, false},
	{"signal a thread", signal_anothers_thread, EPERM, false},
	{"queue a signal", queue_a_signal, EPERM, false},
	{"signal by a descriptor", signal_by_a_descriptor, EPERM, false},
	{"signal by a request", signal_by_a_request, EPERM, false},
	{"limit a process", limit_a_process, EPERM, false},
	{"pin a process", pin_a_process, EPERM, false},
	{"choose a policy", choose_a_policy, EPERM, false},
	{"choose its parameters", choose_its_parameters, EPERM, false},
	{"choose its attributes", choose_its_attributes, EPERM, false},
	{"be nice for a process", be_nice_for_a_process, EPERM, false},
	{"choose its share of disks", choose_its_share_of_disks, EPERM, false},
	{"migrate a process", migrate_a_process, EPERM, false},
	{"move its pages", move_its_pages, EPERM, false},
	{"leave a namespace", leave_a_namespace, EPERM, false},
	{"enter a namespace", enter_a_namespace, EPERM, false},
	{"make a namespace", make_a_namespace, EPERM, false},
	{"make one by clone3", make_a_namespace_by_clone3, ENOSYS, false},
	{"share memory", share_memory, EPERM, false},
};

/* Returns 0 if a process can do this, or the errno. */
static int tried(long (*attempt)(void), bool confined)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		if (confined)
			storage_confine(config);
		errno = 0;
		long done = attempt();
		/* Not _exit(): AddressSanitizer's makes other calls first. */
		syscall(SYS_exit_group, done >= 0 ? 0 : errno);
	}
	ck_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
	ck_assert_msg(WIFEXITED(status), "%#x", status);
	return WEXITSTATUS(status);
}

static int expected(const struct attempt *attempt)
{
	return attempt->refused_with == EACCES && !landlock ? 0 : attempt->refused_with;
}

START_TEST(refused)
{
	const struct attempt *attempt = &attempts[_i];
	int error = tried(attempt->run, true);

	ck_assert_msg(error == expected(attempt), "%s: %s", attempt->name, strerror(error));
	error = tried(attempt->run, false);
	ck_assert_msg(!error, "%s, if nothing is given up: %s", attempt->name, strerror(error));
}
END_TEST

/* A server is on a network, or on a socket: the rest is as with files. */
START_TEST(refused_behind_nbd)
{
	const struct attempt *attempt = &attempts[_i];

	config->layers = 0;
	config->nbd = &nbd;
	int error = tried(attempt->run, true);
	ck_assert_msg(error == (attempt->by_nbd ? 0 : expected(attempt)), "%s: %s", attempt->name,
		      strerror(error));
}
END_TEST

/* --- what it is for --------------------------------------------------------------------------- */

static long work(void)
{
	int image = open(at(IMAGE), O_RDWR), base = open(at(BASE), O_RDONLY), pair[2];
	char byte;

	if (image < 0 || base < 0 || pwrite(image, "x", 1, 0) != 1 ||
	    pread(base, &byte, 1, 0) != 1 || ftruncate(image, 1 << 20) < 0 ||
	    fallocate(image, 0, 0, 4096) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0}) < 0)
		return -1;
	return raise(SIGURG) || access("/usr/bin/env", R_OK) ? -1 : 0;
}

START_TEST(goes_on)
{
	ck_assert_int_eq(tried(work, true), 0);
}
END_TEST

static long write_the_image(void)
{
	return syscall(SYS_openat, AT_FDCWD, at(IMAGE), O_WRONLY);
}

START_TEST(read_only)
{
	ck_assert_int_eq(tried(write_the_image, true), 0);
	config->read_only = true;
	ck_assert_int_eq(tried(write_the_image, true), landlock ? EACCES : 0);
}
END_TEST

/* Returns 0 if any privilege is left but the one to open the files of others, which root's keeps. */
static long keep_privileges(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2] = {0};
	uint32_t left = geteuid() == 0 ? 1U << CAP_DAC_OVERRIDE : 0;

	syscall(SYS_capget, &head, sets);
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || sets[0].permitted != left ||
	    sets[0].effective != left || sets[1].permitted)
		return 0;
	if (geteuid() == 0 && prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) != 0)
		return 0;
	errno = EPERM;
	return -1;
}

START_TEST(privileges)
{
	ck_assert_int_eq(tried(keep_privileges, true), EPERM);
	ck_assert_int_eq(tried(keep_privileges, false), 0);
}
END_TEST

Suite *storage_confine_suite(void);
Suite *storage_confine_suite(void)
{
	Suite *suite = suite_create("storage_confine");
	TCase *tc = tcase_create("storage_confine");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, refused, 0, sizeof(attempts) / sizeof(attempts[0]));
	tcase_add_loop_test(tc, refused_behind_nbd, 0, sizeof(attempts) / sizeof(attempts[0]));
	tcase_add_test(tc, goes_on);
	tcase_add_test(tc, read_only);
	tcase_add_test(tc, privileges);
	suite_add_tcase(suite, tc);
	return suite;
}
