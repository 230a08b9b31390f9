// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/calls.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/vhost.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>

#define ALL	((1U << THREAD_KINDS) - 1)
#define KEEPER	(1U << THREAD_KEEPER)
#define GUEST	(ALL & ~KEEPER) /* threads of a process that has a guest */
#define RESTORE (1U << THREAD_RESTORE)
/* A thread that has loaded both filters is bound by both. */
#define MAIN	 (1U << THREAD_MAIN | RESTORE)
#define VCPU	 (1U << THREAD_VCPU)
#define LOOPS	 (ALL & ~VCPU) /* threads that wait for descriptors, and so may do what takes long */
#define BALLOON	 (1U << THREAD_BALLOON)
#define BLK	 (1U << THREAD_BLK)
#define CONSOLE	 (1U << THREAD_CONSOLE)
#define NET	 (1U << THREAD_NET)
#define FS	 (1U << THREAD_FS)
#define RNG	 (1U << THREAD_RNG)
#define PMEM	 (1U << THREAD_PMEM)
#define VSOCK	 (1U << THREAD_VSOCK)
#define MEASURE	 (1U << THREAD_MEASURE)
#define SNAPSHOT (1U << THREAD_SNAPSHOT)

/* A check: an argument is @value; of its bits @mask, none is set, all are, or just those of @value. */
#define IS(argument, value)                                                                        \
	{                                                                                          \
		argument, ~0U, (uint32_t)(value)                                                   \
	}
#define WITHOUT(argument, mask)                                                                    \
	{                                                                                          \
		argument, mask, 0                                                                  \
	}
#define WITH(argument, mask)                                                                       \
	{                                                                                          \
		argument, mask, mask                                                               \
	}

#define OF(argument, mask, value)                                                                  \
	{                                                                                          \
		argument, mask, value                                                              \
	}

#define CALL(name, kinds)                                                                          \
	{                                                                                          \
		SCMP_SYS(name), kinds, 0,                                                          \
		{                                                                                  \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}
#define CALL_IF(name, kinds, ...)                                                                  \
	{                                                                                          \
		SCMP_SYS(name), kinds, 1,                                                          \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define CALL_IF_BOTH(name, kinds, ...)                                                             \
	{                                                                                          \
		SCMP_SYS(name), kinds, 2,                                                          \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define IOCTL(kinds, request) CALL_IF(ioctl, kinds, IS(1, request))

/* This process, for pidfd arguments: see vmm/mem/discard.c. */
#define SELF_THREAD (-10000)

const struct call calls[] = {
	/* --- descriptors that are open ---------------------------------------------------- */
	CALL(read, LOOPS),
	CALL(write, ALL),
	CALL(writev, LOOPS), /* the C library's last words, too */
	CALL(close, LOOPS),
	CALL(lseek, LOOPS),
	CALL_IF(fcntl, MEASURE, IS(1, F_DUPFD_CLOEXEC)), /* smaps, which is open */
	CALL_IF(fcntl, MEASURE, IS(1, F_GETFL)),
	CALL(fstat, LOOPS),
	CALL_IF(newfstatat, LOOPS, IS(3, AT_EMPTY_PATH)), /* fstat(3) of glibc 2.33 to 2.40 */
	/* Standard output or error is a pipe that may not block. */
	CALL(splice, MAIN | CONSOLE | KEEPER),
	CALL(sendto, LOOPS),
#ifdef SYS_poll
	CALL(poll, LOOPS),
#else
	CALL(ppoll, LOOPS),
#endif
#ifdef SYS_epoll_wait
	CALL(epoll_wait, LOOPS),
#else
	CALL(epoll_pwait, LOOPS),
#endif
	CALL(epoll_ctl, LOOPS),
	CALL(timerfd_settime, LOOPS),

	/* --- memory: data only, and no file's. A vCPU's thread calls nothing that takes some ------ */
	CALL(brk, LOOPS),
	CALL_IF_BOTH(mmap, LOOPS, WITHOUT(2, PROT_EXEC), WITH(3, MAP_ANONYMOUS)),
	CALL_IF(mprotect, LOOPS, WITHOUT(2, PROT_EXEC)),
	CALL(mremap, LOOPS),
	CALL(munmap, LOOPS),
	CALL_IF(madvise, ALL, IS(2, MADV_DONTNEED)),   /* also the stack of a thread that ends */
	CALL_IF(madvise, LOOPS, IS(2, MADV_HUGEPAGE)), /* malloc(3) with glibc.malloc.hugetlb=1 */
	CALL_IF(madvise, BALLOON, IS(2, MADV_FREE)),
	/* Of memory mapped in place of a snapshot's, and of torn huge pages: vmm/mem/private_file.c, torn.c. */
	CALL_IF(madvise, BALLOON, IS(2, MADV_NOHUGEPAGE)),
	CALL_IF(madvise, BALLOON, IS(2, MADV_DONTDUMP)),
	CALL_IF(madvise, BALLOON, IS(2, MADV_DONTFORK)),
	CALL_IF_BOTH(process_madvise, BALLOON, IS(0, SELF_THREAD), IS(3, MADV_DONTNEED)),
	CALL_IF_BOTH(process_madvise, BALLOON, IS(0, SELF_THREAD), IS(3, MADV_FREE)),
	CALL(sysinfo, LOOPS), /* qsort(3) before glibc 2.37 */

	/* --- threads, time, signals, the end ----------------------------------------------- */
	CALL(futex, ALL),
	CALL(getpid, LOOPS), /* raise(3), and pthread_kill(3) */
	CALL(gettid, LOOPS),
	CALL(getrandom, LOOPS),
	CALL(clock_gettime, ALL),
	CALL(clock_nanosleep, LOOPS), /* where a lock is waited for: virtio_core_lock_until() */
	/*
	 * What vmm/lib/fatal.h gives back: not SIGSYS. The kernel has a refused call end a process that blocks or ignores it, but
	 * not one with a handler of its own.
	 */
	CALL_IF(rt_sigaction, MAIN | KEEPER, IS(0, SIGSEGV)),
	CALL_IF(rt_sigaction, MAIN | KEEPER, IS(0, SIGBUS)),
	CALL_IF(rt_sigaction, MAIN | KEEPER, IS(0, SIGABRT)),
	CALL_IF(rt_sigaction, MAIN | KEEPER, IS(0, SIGILL)),
	CALL_IF(rt_sigaction, MAIN | KEEPER, IS(0, SIGFPE)),
	CALL_IF(rt_sigaction, MAIN | KEEPER, IS(0, SIGTRAP)),
	CALL(rt_sigprocmask, ALL),
	CALL(rt_sigreturn, ALL),
	CALL(restart_syscall, ALL),	       /* a wait with a limit, after SIGSTOP */
	CALL_IF(tgkill, ALL, IS(0, CALL_PID)), /* kicks, raise(3), and who ends a fault */
	CALL(exit, ALL),
	CALL(exit_group, ALL),

	/* --- what vmm/lib/fatal.h undoes: the terminal, the guest's name --------------------- */
	IOCTL(MAIN, TCGETS),
	IOCTL(MAIN, TCSETS),
	IOCTL(MAIN, TIOCGPGRP),
#ifdef SYS_getpgrp
	CALL(getpgrp, MAIN),
#else
	CALL_IF(getpgid, MAIN, IS(0, 0)),
#endif
	IOCTL(MAIN, TCFLSH),
	IOCTL(MAIN, TIOCGWINSZ),
	/* What it may remove there is checked by paths.c. */
	CALL_IF_BOTH(unlinkat, MAIN, IS(0, CALL_DIRECTORY), IS(2, 0)),

	/* --- the loop: control socket, debugging, passt ------------------------------------- */
	CALL(accept4, MAIN | VSOCK | KEEPER),
	CALL(recvfrom, MAIN | NET | FS | BLK | VSOCK | CONSOLE | SNAPSHOT | KEEPER),
	CALL(getsockopt, MAIN | KEEPER),
	CALL(pidfd_send_signal, MAIN), /* only ebb's own children have a descriptor */
	CALL(wait4, MAIN),
	IOCTL(MAIN, KVM_GET_REGS),
	IOCTL(MAIN, KVM_GET_SREGS),
	IOCTL(MAIN, KVM_TRANSLATE),
	IOCTL(MAIN, KVM_NMI),

	/* --- the kernel and the initrd, which are open, before the guest runs ---------------- */
	CALL(pread64, MAIN | KEEPER),
	CALL(rt_sigpending, MAIN), /* while slow storage is read */
	IOCTL(MAIN, KVM_SET_REGS),
	IOCTL(MAIN, KVM_SET_SREGS),

	/* --- or a snapshot: its pages become memory, what is written there is the guest's alone -- */
	CALL_IF_BOTH(mmap, RESTORE, IS(2, PROT_READ | PROT_WRITE),
		     IS(3, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED)),
	CALL_IF(madvise, RESTORE, IS(2, MADV_DONTDUMP)),
	CALL_IF(madvise, RESTORE, IS(2, MADV_DONTFORK)),
	CALL_IF(madvise, RESTORE, IS(2, MADV_WILLNEED)),
	CALL_IF(fcntl, RESTORE, IS(1, F_DUPFD_CLOEXEC)),
	CALL_IF(io_uring_register, RESTORE, IS(1, IORING_REGISTER_EVENTFD)), /* starts a disk */
	CALL_IF_BOTH(seccomp, RESTORE, IS(0, SECCOMP_SET_MODE_FILTER), IS(1, 0)), /* MAIN's */
#ifdef KVM_APIC_REG_SIZE /* x86: others cannot be restored yet */
	IOCTL(RESTORE, KVM_GET_CPUID2),
	IOCTL(RESTORE, KVM_GET_TSC_KHZ),
	IOCTL(RESTORE, KVM_SET_TSC_KHZ),
	IOCTL(RESTORE, KVM_SET_MP_STATE),
	IOCTL(RESTORE, KVM_SET_XSAVE),
	IOCTL(RESTORE, KVM_SET_XCRS),
	IOCTL(RESTORE, KVM_SET_DEBUGREGS),
	IOCTL(RESTORE, KVM_SET_LAPIC),
	IOCTL(RESTORE, KVM_GET_MSRS),
	IOCTL(RESTORE, KVM_SET_MSRS),
	IOCTL(RESTORE, KVM_SET_VCPU_EVENTS),
	IOCTL(RESTORE, KVM_SET_IRQCHIP),
	IOCTL(RESTORE, KVM_SET_PIT2),
	IOCTL(RESTORE, KVM_SET_CLOCK),
#endif

/* --- a snapshot: what KVM knows of the guest; RAM goes through sendto ----------------- */
#ifdef KVM_APIC_REG_SIZE /* x86: others cannot be saved yet */
	IOCTL(SNAPSHOT, KVM_GET_MP_STATE),
	IOCTL(SNAPSHOT, KVM_GET_REGS),
	IOCTL(SNAPSHOT, KVM_GET_SREGS),
	IOCTL(SNAPSHOT, KVM_GET_XSAVE),
	IOCTL(SNAPSHOT, KVM_GET_XSAVE2),
	IOCTL(SNAPSHOT, KVM_GET_XCRS),
	IOCTL(SNAPSHOT, KVM_GET_DEBUGREGS),
	IOCTL(SNAPSHOT, KVM_GET_LAPIC),
	IOCTL(SNAPSHOT, KVM_GET_MSRS),
	IOCTL(SNAPSHOT, KVM_GET_VCPU_EVENTS),
	IOCTL(SNAPSHOT, KVM_GET_CPUID2),
	IOCTL(SNAPSHOT, KVM_GET_TSC_KHZ),
	IOCTL(SNAPSHOT, KVM_GET_IRQCHIP),
	IOCTL(SNAPSHOT, KVM_GET_PIT2),
	IOCTL(SNAPSHOT, KVM_GET_CLOCK),
	/*
	 * What a guest writes while it is sent: the first switches that on. It could also make and remove memory slots, of
	 * memory that ebb has: a filter does not see what its argument points to.
	 */
	IOCTL(SNAPSHOT, KVM_SET_USER_MEMORY_REGION),
	IOCTL(SNAPSHOT, KVM_GET_DIRTY_LOG),
#endif

	/* --- vCPUs -------------------------------------------------------------------------- */
	IOCTL(VCPU, KVM_RUN),
	IOCTL(VCPU, KVM_KVMCLOCK_CTRL),
	IOCTL(VCPU, KVM_GET_IRQCHIP), /* the guest has shut down: was it a reset? */
	IOCTL(GUEST, KVM_IRQ_LINE),
#ifndef KVM_APIC_REG_SIZE /* not x86: registers, also for debugging; and what SBI and PSCI answer */
	IOCTL(MAIN | VCPU, KVM_GET_ONE_REG),
	IOCTL(MAIN | VCPU, KVM_SET_ONE_REG),
	IOCTL(GUEST, KVM_INTERRUPT), /* riscv64's PLIC */
#endif
#ifdef KVM_REG_RISCV_CONFIG
	CALL(getrandom, VCPU), /* its register of entropy */
#endif

	/* --- devices, on their worker, which a vCPU leaves starts and resets to. Main stops them ---- */
	/* Of a guest that was sent as it ran: what it gave back meanwhile, in shared memory. */
	CALL(fallocate, BALLOON | BLK | RESTORE),
	CALL(preadv, BLK),
	CALL(pwritev, BLK),
	CALL(fdatasync, BLK | PMEM | SNAPSHOT),
	IOCTL(BLK, BLKDISCARD),
	CALL(io_uring_enter, BLK | MAIN | SNAPSHOT), /* restricted: see devices/virtio-blk/ring.c */
	CALL_IF(io_uring_register, BLK, IS(1, IORING_REGISTER_EVENTFD)),
	CALL(readv, NET | VSOCK),
	/* Its own policy: worker_set_patient(). */
	CALL_IF(sched_getscheduler, NET, IS(0, 0)),
	CALL_IF_BOTH(sched_setscheduler, NET, IS(0, 0), IS(1, SCHED_OTHER)),
	CALL_IF_BOTH(sched_setscheduler, NET, IS(0, 0), IS(1, SCHED_BATCH)),
	/* Not the keeper, which could have a guest's RAM sent to a socket of its own (x-ebb-snapshot). */
	CALL(sendmsg, NET | FS | BLK | VSOCK | MAIN),
	/* A new socket to a backend, or one that the dialer has connected (vmm/vsock). */
	CALL(recvmsg, NET | FS | BLK | VSOCK | MAIN | KEEPER),
	/* Main: the end of a console's file; of a guest that is sent while it runs, before its client commits to that. */
	CALL(shutdown, VSOCK | MAIN | SNAPSHOT),
	IOCTL(NET | MAIN, TUNSETOFFLOAD),
	IOCTL(NET, TUNSETQUEUE),
	/* A queue is lent to the host's kernel, and taken back. */
	IOCTL(NET | VSOCK | MAIN, VHOST_SET_OWNER),
	IOCTL(NET | MAIN, VHOST_RESET_OWNER),
	IOCTL(NET | VSOCK | MAIN, VHOST_SET_FEATURES),
	IOCTL(NET | VSOCK | MAIN, VHOST_SET_MEM_TABLE),
	IOCTL(NET | VSOCK | MAIN, VHOST_SET_VRING_NUM),
	IOCTL(NET | VSOCK | MAIN, VHOST_SET_VRING_BASE),
	IOCTL(NET | VSOCK | MAIN, VHOST_GET_VRING_BASE),
	IOCTL(NET | VSOCK | MAIN, VHOST_SET_VRING_ADDR),
	IOCTL(NET | VSOCK | MAIN, VHOST_SET_VRING_ERR),
	IOCTL(NET | VSOCK | MAIN, VHOST_SET_VRING_CALL),
	IOCTL(NET | VSOCK | MAIN, VHOST_SET_VRING_KICK),
	IOCTL(NET | MAIN, VHOST_NET_SET_BACKEND),
	IOCTL(VSOCK | MAIN, VHOST_VSOCK_SET_RUNNING),

	/* --- the keeper looks for guests by their names: in which directory is checked by paths.c ----- */
	CALL_IF(socket, KEEPER, IS(0, AF_UNIX)),
	CALL(connect, KEEPER),
	/* Only to read, or to make an empty one. */
	CALL_IF(openat, KEEPER, OF(2, O_NOFOLLOW | O_ACCMODE | O_TRUNC, O_NOFOLLOW)),
	CALL_IF(newfstatat, KEEPER, IS(3, AT_SYMLINK_NOFOLLOW)),
	CALL(faccessat, KEEPER),
	CALL(faccessat2, KEEPER),
	CALL(getdents64, KEEPER),
	CALL(flock, KEEPER),
	CALL_IF(unlinkat, KEEPER, IS(2, 0)),	/* files of a dead guest */
	CALL_IF(fcntl, KEEPER, IS(1, F_GETFL)), /* fdopendir(3) */
	CALL_IF(fcntl, KEEPER, IS(1, F_SETFD)),
	CALL(geteuid, KEEPER),
	CALL(timerfd_create, KEEPER),
};
const size_t calls_count = sizeof(calls) / sizeof(calls[0]);
