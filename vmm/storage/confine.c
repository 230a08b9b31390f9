// SPDX-License-Identifier: Apache-2.0
/*
 * What the child gives up before it becomes qemu-storage-daemon, which does not confine itself: it
 * reads images that may be a stranger's, and requests of a guest.
 *
 * Names of files (Landlock): the disk's own, and what a program needs to start. System calls (seccomp):
 * a list of what is refused, because QEMU's may change from version to version. Privileges: all but
 * that of root to open the user's files.
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/storage/storage.h"

/* The rights of Landlock's first version, which every kernel with it knows. */
#define RIGHTS	  ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define READ_FILE LANDLOCK_ACCESS_FS_READ_FILE
#define READ	  (READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RUN	  (READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define WRITE	  (READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

/* The bits of a socket's type that are no flags. Source: SOCK_TYPE_MASK of Linux, include/linux/net.h. */
#define SOCK_TYPE 0xf

/* Lets @path through, if there is such a file. */
static void allow(int rules, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr beneath = {.allowed_access = access};
	struct stat st;

	beneath.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (beneath.parent_fd < 0 || fstat(beneath.parent_fd, &st) < 0)
		return;
	if (!S_ISDIR(st.st_mode))
		beneath.allowed_access &= ~(uint64_t)LANDLOCK_ACCESS_FS_READ_DIR;
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
		backend_fail("restrict qemu-storage-daemon to its files");
	close(beneath.parent_fd);
}

static void restrict_paths(const struct storage_config *config)
{
	/* Programs and libraries; what the C library reads; how it finds a server of NBD. */
	static const char *const run[] = {"/usr",   "/bin", "/sbin", "/lib",
					  "/lib64", "/opt", "/nix"};
	static const char *const read[] = {"/etc", "/proc", "/sys", "/run/systemd/resolve"};
	const struct landlock_ruleset_attr all = {.handled_access_fs = RIGHTS};
	int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);

	if (rules < 0 && (errno == ENOSYS || errno == EOPNOTSUPP))
		return; /* a kernel without Landlock */
	if (rules < 0)
		backend_fail("restrict qemu-storage-daemon to its files");
	for (size_t i = 0; i < sizeof(run) / sizeof(run[0]); i++)
		allow(rules, run[i], RUN);
	for (size_t i = 0; i < sizeof(read) / sizeof(read[0]); i++)
		allow(rules, read[i], READ);
	allow(rules, "/dev/null", WRITE);
	allow(rules, "/dev/urandom", READ_FILE);
	for (unsigned int i = 0; i < config->layers; i++)
		allow(rules, config->layer[i].file, i || config->read_only ? READ_FILE : WRITE);
	if (syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		backend_fail("restrict qemu-storage-daemon to its files");
	close(rules);
}

/* Refuses @call for any process but the caller, which is 0 as its first argument. */
static void refuse_others(scmp_filter_ctx filter, int call)
{
	if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 1, SCMP_A0(SCMP_CMP_NE, 0)))
		backend_fail("filter system calls");
}

/* Refuses @call with EPERM; with a mask, where those bits of its argument @n are @value. */
static void refuse_if(scmp_filter_ctx filter, int call, unsigned int n, uint64_t mask,
		      uint64_t value)
{
	const struct scmp_arg_cmp bits = SCMP_CMP64(n, SCMP_CMP_MASKED_EQ, mask, value);

	/* Some calls do not exist on each architecture. */
	if (call >= 0 &&
	    seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), call, mask ? 1 : 0, &bits))
		backend_fail("filter system calls");
}

static void refuse_calls(scmp_filter_ctx filter)
{
	static const int calls[] = {
		/* other processes */
		SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
		SCMP_SYS(process_madvise), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd),
		SCMP_SYS(pidfd_send_signal), SCMP_SYS(kill), SCMP_SYS(tkill),
		SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_tgsigqueueinfo), SCMP_SYS(kcmp),
		SCMP_SYS(shmget), SCMP_SYS(shmat), SCMP_SYS(shmctl), SCMP_SYS(semget),
		SCMP_SYS(semop), SCMP_SYS(semtimedop), SCMP_SYS(semctl), SCMP_SYS(msgget),
		SCMP_SYS(msgsnd), SCMP_SYS(msgrcv), SCMP_SYS(msgctl), SCMP_SYS(mq_open),
		SCMP_SYS(mq_unlink), SCMP_SYS(setpriority), SCMP_SYS(ioprio_set),
		SCMP_SYS(migrate_pages), SCMP_SYS(move_pages),
		/* what Landlock does not know, or not in each version: a file's length, mode, owner and dates */
		SCMP_SYS(truncate), SCMP_SYS(creat), SCMP_SYS(chmod), SCMP_SYS(fchmod),
		SCMP_SYS(fchmodat), 452 /* fchmodat2 */, SCMP_SYS(chown), SCMP_SYS(lchown),
		SCMP_SYS(fchown), SCMP_SYS(fchownat), SCMP_SYS(utime), SCMP_SYS(utimes),
		SCMP_SYS(futimesat), SCMP_SYS(utimensat), SCMP_SYS(setxattr), SCMP_SYS(lsetxattr),
		SCMP_SYS(fsetxattr), 463 /* setxattrat */, SCMP_SYS(removexattr),
		SCMP_SYS(lremovexattr), SCMP_SYS(fremovexattr), 466 /* removexattrat */,
		469 /* file_setattr */,
		/* names and namespaces */
		SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
		SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(open_tree), SCMP_SYS(move_mount),
		SCMP_SYS(fsopen), SCMP_SYS(fsmount), SCMP_SYS(mount_setattr),
		SCMP_SYS(name_to_handle_at), SCMP_SYS(open_by_handle_at),
		/* the kernel */
		SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(add_key),
		SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(io_uring_setup),
		SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
		SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(swapon),
		SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(syslog), SCMP_SYS(quotactl)};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		refuse_if(filter, calls[i], 0, 0, 0);
}

static void refuse_arguments(scmp_filter_ctx filter)
{
	/* The kernel reads 32 bits of a request. */
	const uint64_t request = UINT32_MAX;

	/* Even a file that is opened to be read can be emptied. */
	refuse_if(filter, SCMP_SYS(open), 1, O_TRUNC, O_TRUNC);
	refuse_if(filter, SCMP_SYS(openat), 2, O_TRUNC, O_TRUNC);
	/* Whom the kernel sends a signal when a descriptor has something. */
	refuse_if(filter, SCMP_SYS(fcntl), 1, request, F_SETOWN);
	refuse_if(filter, SCMP_SYS(fcntl), 1, request, F_SETOWN_EX);
	refuse_if(filter, SCMP_SYS(ioctl), 1, request, FIOSETOWN);
	refuse_if(filter, SCMP_SYS(ioctl), 1, request, SIOCSPGRP);
	refuse_if(filter, SCMP_SYS(clone), 0, CLONE_NEWUSER, CLONE_NEWUSER);
	/* Signals, limits and shares of the CPUs are for itself alone. */
	refuse_others(filter, SCMP_SYS(prlimit64));
	refuse_others(filter, SCMP_SYS(sched_setaffinity));
	refuse_others(filter, SCMP_SYS(sched_setscheduler));
	refuse_others(filter, SCMP_SYS(sched_setparam));
	refuse_others(filter, SCMP_SYS(sched_setattr));
	if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(tgkill), 1,
			     SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)getpid())) ||
	    /* Their arguments lie in memory, which the filter cannot read: libc has others then. */
	    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0) ||
	    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0))
		backend_fail("filter system calls");
}

static void filter_calls(const struct storage_config *config)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (!filter)
		backend_fail("filter system calls");
	refuse_calls(filter);
	refuse_arguments(filter);
	/* Without NBD it has no need for a network, nor for the user's sockets. */
	if (!config->nbd) {
		refuse_if(filter, SCMP_SYS(socket), 0, 0, 0);
		refuse_if(filter, SCMP_SYS(connect), 0, 0, 0);
		/* One of a pair could send its datagrams to any server instead. */
		refuse_if(filter, SCMP_SYS(socketpair), 1, SOCK_TYPE, SOCK_DGRAM);
		refuse_if(filter, SCMP_SYS(socketpair), 1, SOCK_TYPE, SOCK_RAW);
	}
	if (seccomp_load(filter))
		backend_fail("filter system calls");
	seccomp_release(filter);
}

static void drop_privileges(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	/* Root's program opens the images of others, as ebb does for raw disks. */
	if (geteuid() == 0)
		capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			      CAP_DAC_OVERRIDE, -1);
	if (geteuid() == 0 && capng_apply(CAPNG_SELECT_BOTH))
		backend_fail("drop the privileges of root");
}

void storage_confine(const struct storage_config *config)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		backend_fail("give up privileges");
	restrict_paths(config);
	drop_privileges();
	filter_calls(config);
}
