package testhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bootTimeout is how long a host may take until sshd answers, on a machine that
// has much else to do.
const bootTimeout = 2 * time.Minute

// bootsAtOnce bounds how many hosts are made at once: all together they would
// share the machine and come up together, last of all.
const bootsAtOnce = 8

// Options say what host to make.
type Options struct {
	// Name is the host's name: unique in its network, lower-case letters,
	// digits and hyphens.
	Name string
	// DiskMB, unless 0, puts /nix on a file system of that many megabytes, so
	// that [Host.FillDisk] can fill it.
	DiskMB int
	// Users have an account besides root. Light hosts only.
	Users []User
}

// Host is one test machine. Its methods are safe for concurrent use.
type Host struct {
	// Name is the host's name and its hostname at first.
	Name string
	// IP is the host's address, Addr the same with sshd's port.
	IP   netip.Addr
	Addr string
	// HostKey is the public half of sshd's ed25519 key, as in authorized_keys.
	HostKey string
	// ClientKey is the path of the private key that sshd lets in as root.
	ClientKey string

	kind   kind
	net    *Network
	netns  string // name of the network namespace
	link   string // the bridge's end of the veth pair
	folder string // the host's folder on the driver's machine
	diskMB int
	users  []User
	path   string // PATH of all that runs in the host

	wireMu sync.Mutex
	wire   *wire // nil: link is on the network's bridge

	mu        sync.Mutex
	up        *run
	boots     int
	rebootErr error // of the last try to come back from a reboot
	ended     error // how the host last ended by itself, if not to reboot
}

// kind is what a light and a full host do differently.
type kind interface {
	// prepare writes the disk of a new host, below h.disk().
	prepare(h *Host) error
	// command is the process that is the host for as long as it runs. It is
	// started in the host's network namespace.
	command(h *Host) (*exec.Cmd, error)
	// leader is the host's process 1, by its id out here, or 0 if there is none.
	leader(main int) int
	// shutdown asks a running host to end.
	shutdown(h *Host, r *run) error
	// killSSHD and startSSHD end and start sshd and its sessions.
	killSSHD(h *Host) error
	startSSHD(h *Host) error
}

// Light makes a light host; the host is usable when Light returns, and is
// removed when the test ends. It ends the test if there is anything wrong.
func Light(t testing.TB, n *Network, opts Options) *Host {
	t.Helper()
	return Lights(t, n, opts)[0]
}

// Lights makes several light hosts at once.
func Lights(t testing.TB, n *Network, opts ...Options) []*Host {
	t.Helper()
	return makeAll(t, n, light{}, opts)
}

// Full boots a full host; sshd answers when Full returns. It is removed when the
// test ends. Full ends the test if there is anything wrong.
func Full(t testing.TB, n *Network, opts Options) *Host {
	t.Helper()
	return Fulls(t, n, opts)[0]
}

// Fulls boots several full hosts at once.
func Fulls(t testing.TB, n *Network, opts ...Options) []*Host {
	t.Helper()
	return makeAll(t, n, full{}, opts)
}

func makeAll(t testing.TB, n *Network, k kind, opts []Options) []*Host {
	t.Helper()
	hosts := make([]*Host, len(opts))
	errs := make([]error, len(opts))
	var wg sync.WaitGroup
	slots := make(chan struct{}, bootsAtOnce)
	for i, o := range opts {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			hosts[i], errs[i] = n.newHost(k, o)
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		var wg sync.WaitGroup
		for _, h := range hosts {
			if h == nil {
				continue
			}
			wg.Go(func() {
				if err := h.remove(); err != nil {
					t.Errorf("removing the test host %s: %v", h.Name, err)
				}
			})
		}
		wg.Wait()
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return hosts
}

// newHost may give a host together with an error; it is to be removed then.
func (n *Network) newHost(k kind, o Options) (*Host, error) {
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$`).MatchString(o.Name) {
		return nil, fmt.Errorf("%q is no name for a test host: it is made of lower-case letters, digits and hyphens, 48 at most", o.Name)
	}
	private, public, err := newKey("root@" + o.Name)
	if err != nil {
		return nil, err
	}
	h := &Host{Name: o.Name, HostKey: public, ClientKey: n.ClientKey, kind: k, diskMB: o.DiskMB, users: o.Users}
	if err := n.plug(h); err != nil {
		return nil, fmt.Errorf("test host %s: %w", o.Name, err)
	}
	if err := os.MkdirAll(h.disk(), 0o755); err != nil {
		return h, fmt.Errorf("test host %s: %w", o.Name, err)
	}
	if err := k.prepare(h); err != nil {
		return h, fmt.Errorf("test host %s: %w", o.Name, err)
	}
	const key = "etc/ssh/ssh_host_ed25519_key"
	if err := errors.Join(h.writeDisk(key, string(private), 0o600), h.writeDisk(key+".pub", public+"\n", 0o644)); err != nil {
		return h, fmt.Errorf("test host %s: %w", o.Name, err)
	}
	if h.diskMB > 0 {
		nix := filepath.Join(h.disk(), "nix")
		if err := syscall.Mount("fleet-testhost", nix, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=755", h.diskMB)); err != nil {
			return h, fmt.Errorf("test host %s: mounting its small /nix: %w", o.Name, err)
		}
	}
	return h, h.Start()
}

func (h *Host) remove() error {
	h.Kill()
	return errors.Join(
		h.Latency(0, 0),
		h.net.unplug(h),
		// The kernel removes namespaces some time later, but this link at once.
		command("", "ip", "link", "del", h.link),
		removeHosts(h.netns, h.folder),
	)
}

// console is the file with all that the host's first processes said, said what
// is in it.
func (h *Host) console() string { return filepath.Join(h.folder, "console") }

func (h *Host) said() string {
	said, err := os.ReadFile(h.console())
	if err != nil {
		return err.Error()
	}
	return string(said)
}

// WaitBoot waits until the host has booted count times since it was made (see
// [Host.Boots]) and sshd answers. A host that is off is not waited for.
func (h *Host) WaitBoot(ctx context.Context, count int) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	for {
		h.mu.Lock()
		up, boots, err, ended := h.up, h.boots, h.rebootErr, h.ended
		h.mu.Unlock()
		switch {
		case err != nil:
			return fmt.Errorf("test host %s: coming back from a reboot: %w", h.Name, err)
		case up == nil && ended != nil:
			return fmt.Errorf("test host %s: waiting for sshd: %w: it ended by itself (%w); its console said:\n%s", h.Name, errOff, ended, h.said())
		case up == nil:
			return fmt.Errorf("test host %s: waiting for sshd: %w; its console said:\n%s", h.Name, errOff, h.said())
		case boots < count:
			err = fmt.Errorf("it has booted %d times", boots)
		default:
			if err = h.greeting(ctx); err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("test host %s: waiting for sshd after boot %d: %w; its console said:\n%s", h.Name, count, err, h.said())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// greeting reads the first bytes that sshd says to a new connection.
func (h *Host) greeting(ctx context.Context) error {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", h.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	hello := make([]byte, 4)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return fmt.Errorf("no greeting from sshd: %w", err)
	}
	if string(hello) != "SSH-" {
		return fmt.Errorf("%s answers %q instead of SSH", h.Addr, hello)
	}
	return nil
}
