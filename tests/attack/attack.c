// SPDX-License-Identifier: Apache-2.0
/*
 * ebb as one that a guest has taken over: linked with -Wl,--wrap, so that a thread of it does one thing that an
 * attacker would try, at the moment from which on it runs for the guest. EBB_ATTACK=THREAD:ATTEMPT names both. The
 * kernel's answer is told on standard error, by nothing but write(2): "attack: done", or "attack: errno N"; and ebb ends.
 *
 * A kernel, or a snapshot, that begins with "attack: ATTEMPT" and the end of a line is one that takes over what reads it: the
 * attempt is done there. A process that reads nothing else (vmm/lib/confined.h) has no standard error: the one that started it
 * tells at its end what was done there.
 *
 * EBB_ATTACK_WITHOUT names phases of the sandbox that are left out: "calls", "paths", or both; "confine": what such a process
 * gives up. What is refused then is
 * refused by those that are left. Without "death" the same calls are refused, but with an errno, so that one ebb can try many.
 */
#include <asm/unistd.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/attack/ioctls.h"
#include "vmm/arch/packing.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/lib/confine.h"
#include "vmm/lib/fatal.h"
#include "vmm/lib/loop.h"
#include "vmm/sandbox/filter.h"
#include "vmm/sandbox/paths.h"
#include "vmm/snapshot/stream.h"

#define PAGE 4096

int __real_loop_run(struct loop *loop);
int __wrap_loop_run(struct loop *loop);
enum vcpu_end __real_vcpu_run(struct vcpu *vcpu, const struct vcpu_host *host, int *error);
enum vcpu_end __wrap_vcpu_run(struct vcpu *vcpu, const struct vcpu_host *host, int *error);

int __real_snapshot_open(struct snapshot_reader *reader);
int __wrap_snapshot_open(struct snapshot_reader *reader);
bool __real_packing_told(const struct boot_file *source, const uint8_t *head, size_t size);
bool __wrap_packing_told(const struct boot_file *source, const uint8_t *head, size_t size);

void __real_fatal_name(const char *name);
void __wrap_fatal_name(const char *name);
pthread_t __real_pthread_self(void);
pthread_t __wrap_pthread_self(void);

int __real_confine_self(uint64_t cpu_s, uint64_t file_max);
int __wrap_confine_self(uint64_t cpu_s, uint64_t file_max);
int __real_filter_load(enum thread_kind kind, int directory);
int __wrap_filter_load(enum thread_kind kind, int directory);
int __real_paths_restrict(int directory, enum paths_left left);
int __wrap_paths_restrict(int directory, enum paths_left left);

static uint8_t page[2 * PAGE];

static void *whole_page(void)
{
	return (void *)(((uintptr_t)page + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
}

static long open_a_file(void)
{
	return syscall(SYS_openat, AT_FDCWD, "/etc/hostname", O_RDONLY);
}

static long make_a_file(void)
{
	return syscall(SYS_openat, AT_FDCWD, getenv("EBB_ATTACK_FILE"), O_WRONLY | O_CREAT, 0600);
}

/* Opened as the keeper opens the files of guests' names, in their directory. */
static long open_like_a_name(void)
{
	return syscall(SYS_openat, AT_FDCWD, "/etc/hostname", O_RDONLY | O_NOFOLLOW);
}

static long make_like_a_name(void)
{
	return syscall(SYS_openat, AT_FDCWD, getenv("EBB_ATTACK_FILE"),
		       O_RDONLY | O_CREAT | O_NOFOLLOW, 0600);
}

static long look_like_a_name(void)
{
	return syscall(SYS_openat, AT_FDCWD, "/proc/1/status", O_RDONLY | O_NOFOLLOW);
}

static long remove_a_file(void)
{
	return syscall(SYS_unlinkat, AT_FDCWD, getenv("EBB_ATTACK_FILE"), 0);
}

static long run_a_program(void)
{
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"echo attack: done >&2", NULL};
	return syscall(SYS_execve, "/bin/sh", argv, NULL);
}

static long fork_a_process(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	return pid;
}

static long start_a_thread(void)
{
	struct clone_args {
		uint64_t flags, rest[10];
	} arguments = {0};
	/* Refused by the kernel for its flags, if it is asked. */
	arguments.flags = CLONE_THREAD;
	long done = syscall(SYS_clone3, &arguments, sizeof(arguments));
	return done < 0 && errno == EINVAL ? 0 : done;
}

static long open_a_socket(void)
{
	return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static long open_a_local_socket(void)
{
	return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
}

/* A server of another process that listens on a name without a file. */
static long connect_abstract(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	const char *server = getenv("EBB_ATTACK_ABSTRACT");
	size_t len = strlen(server);
	memcpy(name.sun_path + 1, server, len);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	return connect(fd, (const struct sockaddr *)&name,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len));
}

/* One on the host's own network. */
static long connect_loopback(void)
{
	struct sockaddr_in server = {.sin_family = AF_INET};
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.sin_port = htons((uint16_t)atoi(getenv("EBB_ATTACK_PORT")));
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return connect(fd, (const struct sockaddr *)&server, sizeof(server));
}

static long connect_by_a_file(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", getenv("EBB_ATTACK_SOCKET"));
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	return connect(fd, (const struct sockaddr *)&name, sizeof(name));
}

/* As for a guest's snapshot: over a control socket, its own here, goes the socket that all of the RAM shall come to. */
static long pass_a_descriptor(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/keeper-sock", getenv("EBB_RUNTIME_DIR"));
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(fd, (const struct sockaddr *)&name, sizeof(name)) < 0)
		return -1;
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} room = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec byte = {page, 1};
	struct msghdr message = {.msg_iov = &byte,
				 .msg_iovlen = 1,
				 .msg_control = room.space,
				 .msg_controllen = sizeof(room.space)};
	memcpy(CMSG_DATA(&room.head), &fd, sizeof(fd));
	return syscall(SYS_sendmsg, fd, &message, 0);
}

static long look_at_a_process(void)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/status", getppid());
	return syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
}

static long trace(void)
{
	/* Without attaching, which would leave a thread for its tracer to reap. */
	long done = syscall(SYS_ptrace, PTRACE_CONT, getppid(), NULL, NULL);
	return done < 0 && errno == ESRCH ? 0 : done;
}

static long read_a_process(void)
{
	const struct iovec here = {page, 1}, there = {page + 1, 1};
	return syscall(SYS_process_vm_readv, getpid(), &here, 1, &there, 1, 0);
}

static long map_code(void)
{
	long at = syscall(SYS_mmap, NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	return at == -1 ? -1 : 0;
}

static long make_code(void)
{
	return syscall(SYS_mprotect, whole_page(), PAGE, PROT_READ | PROT_EXEC);
}

/* The types of the descriptors, as they are before a filter refuses to tell. */
#define DESCRIPTORS 64
static mode_t type_of[DESCRIPTORS];
static bool looked;

static void look_at_descriptors(void)
{
	for (int fd = 3; fd < DESCRIPTORS; fd++) {
		struct stat st;
		type_of[fd] = fstat(fd, &st) == 0 ? st.st_mode & S_IFMT : 0;
	}
	looked = true;
}

/* Returns an open descriptor of this type of file, or -1. */
static int descriptor(mode_t type)
{
	if (!looked)
		look_at_descriptors();
	for (int fd = 3; fd < DESCRIPTORS; fd++)
		if (type_of[fd] == type)
			return fd;
	return -1;
}

/* As a snapshot's pages, which are the guest's from then on. */
static long map_like_a_snapshot(void)
{
	long at = syscall(SYS_mmap, whole_page(), PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, descriptor(S_IFREG), 0);
	return at == -1 ? -1 : 0;
}

static long map_a_file(void)
{
	long at = syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, descriptor(S_IFREG), 0);
	return at == -1 ? -1 : 0;
}

/* By the directory of the guests' names, in which ebb removes its own. */
static long remove_by_descriptor(void)
{
	return syscall(SYS_unlinkat, descriptor(S_IFDIR), getenv("EBB_ATTACK_FILE"), 0);
}

/* Upwards, to what is beside it. */
static long open_above_descriptor(void)
{
	return syscall(SYS_openat, descriptor(S_IFDIR), "../victim", O_RDONLY);
}

static long remove_above_descriptor(void)
{
	return syscall(SYS_unlinkat, descriptor(S_IFDIR), "../victim", 0);
}

/* Of which the host's file system keeps one block, where it keeps no holes. */
static long grow_a_file(void)
{
	const struct iovec byte = {page, 1};
	if (!looked)
		look_at_descriptors();
	for (int fd = 3; fd < DESCRIPTORS; fd++) {
		if (type_of[fd] != S_IFREG)
			continue;
		long done = syscall(SYS_pwritev, fd, &byte, 1, 1UL << 40, 0);
		if (done >= 0 || errno != EBADF) /* that can only be read */
			return done;
	}
	return -1;
}

/* The same by the file that tells others the PID of who has the keeper's name. */
static long write_a_name(void)
{
	int fd =
		(int)syscall(SYS_openat, descriptor(S_IFDIR), "keeper-lock", O_WRONLY | O_NOFOLLOW);
	signal(SIGXFSZ, SIG_IGN);
	return fd < 0 || syscall(SYS_lseek, fd, 1UL << 40, SEEK_SET) < 0
		       ? -1
		       : syscall(SYS_write, fd, page, 1);
}

static long signal_another(void)
{
	return syscall(SYS_kill, getppid(), 0);
}

static long signal_anothers_thread(void)
{
	long parent = getppid();
	return syscall(SYS_tgkill, parent, parent, 0);
}

static long another_vcpu(void)
{
	/* KVM_CREATE_VCPU: whatever descriptor 0 is, it knows no such request. */
	long done = syscall(SYS_ioctl, 0, 0xae41UL, 7UL);
	return done < 0 && errno == ENOTTY ? 0 : done;
}

static long type_to_the_terminal(void)
{
	/* TIOCSTI */
	long done = syscall(SYS_ioctl, 0, 0x5412UL, "x");
	return done < 0 && errno == ENOTTY ? 0 : done;
}

static long another_ring(void)
{
	struct io_uring_params parameters = {0};
	return syscall(SYS_io_uring_setup, 1, &parameters);
}

static long become_dumpable(void)
{
	return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/* Whatever the action is: the filter sees the signal alone. */
static long change_the_handler(void)
{
	const unsigned long ignore[8] = {(unsigned long)SIG_IGN};
	return syscall(SYS_rt_sigaction, SIGSYS, ignore, NULL, 8);
}

static long block_signals(void)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	return open_a_file();
}

static sigjmp_buf refused;

/* The fault handler asks which thread it is on: the main one, it believes here, by what it finds in memory. */
static atomic_bool is_main_everywhere;

pthread_t __wrap_pthread_self(void)
{
	static pthread_t first;
	pthread_t self = __real_pthread_self();
	if (!first)
		first = self;
	return atomic_load(&is_main_everywhere) ? first : self;
}

static void go_on(void *ctx)
{
	(void)ctx;
	ssize_t ignored = write(STDERR_FILENO, "attack: goes on\n", 16);
	(void)ignored;
	siglongjmp(refused, 1);
}

/* ebb's own handler calls what lies in memory: the first refused call comes back here, so that there is a second. */
static long take_over_the_handler(void)
{
	static struct fatal_undo undo = {go_on, NULL, NULL};
	atomic_store(&is_main_everywhere, true);
	fatal_undo_add(&undo);
	sigsetjmp(refused, 1);
	return open_a_file();
}

static long leave_namespace(void)
{
	return syscall(SYS_unshare, CLONE_FS);
}

static long change_directory(void)
{
	return syscall(SYS_chdir, "/");
}

/* Which a filter cannot refuse: an ebb that runs away, or hurts its neighbours. */
static long take_memory(void)
{
	size_t size = (size_t)atoi(getenv("EBB_ATTACK_MIB")) << 20;
	uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (size_t i = 0; at != MAP_FAILED && i < size; i += PAGE)
		at[i] = 1;
	return at == MAP_FAILED ? -1 : 0;
}

static const struct {
	const char *name;
	long (*run)(void);
} attempts[] = {
	{"openat", open_a_file},
	{"create", make_a_file},
	{"openat-name", open_like_a_name},
	{"create-name", make_like_a_name},
	{"proc-name", look_like_a_name},
	{"unlinkat", remove_a_file},
	{"unlinkat-directory", remove_by_descriptor},
	{"openat-above", open_above_descriptor},
	{"unlinkat-above", remove_above_descriptor},
	{"proc", look_at_a_process},
	{"grow", grow_a_file},
	{"write-name", write_a_name},
	{"connect-abstract", connect_abstract},
	{"connect-loopback", connect_loopback},
	{"connect-file", connect_by_a_file},
	{"pass-descriptor", pass_a_descriptor},
	{"execve", run_a_program},
	{"fork", fork_a_process},
	{"thread", start_a_thread},
	{"socket", open_a_socket},
	{"local-socket", open_a_local_socket},
	{"ptrace", trace},
	{"process_vm_readv", read_a_process},
	{"mmap-exec", map_code},
	{"mprotect-exec", make_code},
	{"mmap-file", map_a_file},
	{"mmap-snapshot", map_like_a_snapshot},
	{"kill", signal_another},
	{"tgkill", signal_anothers_thread},
	{"create-vcpu", another_vcpu},
	{"ioctls", try_ioctls},
	{"tiocsti", type_to_the_terminal},
	{"io_uring", another_ring},
	{"dumpable", become_dumpable},
	{"rt_sigaction", change_the_handler},
	{"blocked", block_signals},
	{"handler", take_over_the_handler},
	{"unshare", leave_namespace},
	{"chdir", change_directory},
	{"memory", take_memory},
};

/* What a process without a standard error tells the one that started it. */
static char *told;

static void tell(long done)
{
	char text[64];
	int len = done >= 0 ? snprintf(text, sizeof(text), "attack: done\n")
			    : snprintf(text, sizeof(text), "attack: errno %d\n", errno);
	if (write(STDERR_FILENO, text, (size_t)len) < 0)
		memcpy(told, text, (size_t)len);
	syscall(SYS_exit_group, 0);
}

static __attribute__((constructor)) void begin(void)
{
	told = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static __attribute__((destructor)) void end(void)
{
	ssize_t ignored = write(STDERR_FILENO, told, strlen(told));
	(void)ignored;
}

static _Thread_local const char *this_thread = "main";

void __wrap_fatal_name(const char *name)
{
	this_thread = name;
	__real_fatal_name(name);
}

static bool is_this(const char *thread, size_t len)
{
	return strlen(this_thread) == len && strncmp(this_thread, thread, len) == 0;
}

static void try(const char *name)
{
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		if (strcmp(name, attempts[i].name) == 0)
			tell(attempts[i].run());
}

static void attack(void)
{
	const char *what = getenv("EBB_ATTACK");
	const char *colon = what ? strchr(what, ':') : NULL;
	if (colon && is_this(what, (size_t)(colon - what)))
		try(colon + 1);
}

static void attack_as(const uint8_t *head, size_t size)
{
	static const char magic[] = "attack: ";
	char name[64] = "";
	if (size > sizeof(magic) && memcmp(head, magic, sizeof(magic) - 1) == 0) {
		head += sizeof(magic) - 1;
		size -= sizeof(magic) - 1;
		const uint8_t *end = memchr(head, '\n', size);
		if (end && (size_t)(end - head) < sizeof(name))
			memcpy(name, head, (size_t)(end - head));
		try(name);
	}
}

/* Both loaders of kernels ask this of the first bytes, before they look at them. */
bool __wrap_packing_told(const struct boot_file *source, const uint8_t *head, size_t size)
{
	attack_as(head, size);
	return __real_packing_told(source, head, size);
}

/* Takes the first bytes, so that this program can restore no snapshot. */
int __wrap_snapshot_open(struct snapshot_reader *reader)
{
	uint8_t head[64];
	int len = reader->read(reader->ctx, head, sizeof(head));

	if (len > 0)
		attack_as(head, (size_t)len);
	return __real_snapshot_open(reader);
}

static bool is_left_out(const char *phase)
{
	const char *phases = getenv("EBB_ATTACK_WITHOUT");
	return phases && strstr(phases, phase);
}

int __wrap_confine_self(uint64_t cpu_s, uint64_t file_max)
{
	look_at_descriptors();
	return is_left_out("confine") ? 0 : __real_confine_self(cpu_s, file_max);
}

static int load_without_death(enum thread_kind kind, int directory)
{
	struct sock_filter step[FILTER_STEPS_MAX];
	unsigned int steps = filter_program(kind, getpid(), directory, step);
	const struct sock_fprog program = {(unsigned short)steps, step};

	for (unsigned int i = 0; i < steps; i++)
		if (step[i].code == (BPF_RET | BPF_K) && step[i].k == SECCOMP_RET_TRAP)
			step[i].k = SECCOMP_RET_ERRNO | REFUSED;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

int __wrap_filter_load(enum thread_kind kind, int directory)
{
	look_at_descriptors();
	if (is_left_out("calls"))
		return 0;
	return is_left_out("death") ? load_without_death(kind, directory)
				    : __real_filter_load(kind, directory);
}

int __wrap_paths_restrict(int directory, enum paths_left left)
{
	return is_left_out("paths") ? 0 : __real_paths_restrict(directory, left);
}

int __wrap_loop_run(struct loop *loop)
{
	attack();
	return __real_loop_run(loop);
}

enum vcpu_end __wrap_vcpu_run(struct vcpu *vcpu, const struct vcpu_host *host, int *error)
{
	attack();
	return __real_vcpu_run(vcpu, host, error);
}
