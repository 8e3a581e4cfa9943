# /// attack
# lives = true
# rows = [38]
# ///

from hostile import add, carried_out, spoil, state

NAMES = """
    accept acct add_key adjtimex bind clock_adjtime connect delete_module fanotify_init finit_module fsopen
    fsconfig fsmount get_kernel_syms getsockopt init_module inotify_init inotify_init1 ioperm iopl kexec_file_load
    kexec_load landlock_create_ruleset listen lookup_dcookie memfd_secret migrate_pages modify_ldt mount_setattr
    move_mount move_pages mq_open msgget nfsservctl open_tree pkey_alloc quotactl reboot recvmsg remap_file_pages
    seccomp semget sendmmsg sendmsg setdomainname sethostname set_mempolicy setsockopt settimeofday shmat shmget
    signalfd4 socket splice swapoff swapon syslog tee timer_create timerfd_create vhangup vmsplice
"""


def attack(world):
    """With no sensible argument: what is carried out fails for that, and not for want of permission."""
    spoil()
    return carried_out({name: () for name in NAMES.split()})
