package testhost

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// Network is the driver's side of a set of hosts. It is safe for concurrent use.
type Network struct {
	// Addr is the driver's address on the bridge.
	Addr netip.Addr
	// ClientKey is the path of the private key that every host lets in as root,
	// AuthorizedKey its public half.
	ClientKey, AuthorizedKey string
	// KnownHosts and SSHConfig are paths of files for OpenSSH's client that
	// always speak of all the network's hosts: `ssh -F SSHConfig NAME`.
	KnownHosts, SSHConfig string

	claim *claim
	mu    sync.Mutex
	hosts []*Host
	count int // of hosts ever made: numbers addresses and links
}

// NewNetwork makes a network and removes it when the test ends. Before, it
// removes what dead test processes left on the machine.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	n, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.close(); err != nil {
			t.Errorf("removing the test network: %v", err)
		}
	})
	return n
}

func newNetwork() (*Network, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the test hosts are made of namespaces: run the tests as root")
	}
	c, err := newClaim()
	if err != nil {
		return nil, err
	}
	n := &Network{
		Addr:       address(c.id, 1),
		ClientKey:  filepath.Join(c.folder, "client_key"),
		KnownHosts: filepath.Join(c.folder, "known_hosts"),
		SSHConfig:  filepath.Join(c.folder, "ssh_config"),
		claim:      c,
	}
	if err := n.open(); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *Network) open() error {
	private, public, err := newKey("testhost-client")
	if err != nil {
		return err
	}
	n.AuthorizedKey = public
	if err := os.WriteFile(n.ClientKey, private, 0o600); err != nil {
		return fmt.Errorf("writing the client's key: %w", err)
	}
	if err := n.publish(); err != nil {
		return err
	}
	bridge := n.claim.bridge()
	// Unless it is given an address the bridge takes that of a port, another one
	// as ports come and go, and hosts send to one that is no more.
	return command(fmt.Sprintf(`link add %[1]s address 02:00:00:00:00:01 type bridge forward_delay 0
addr add %[2]s/24 dev %[1]s
link set %[1]s up
`, bridge, n.Addr), "ip", "-batch", "-")
}

func (n *Network) close() error {
	n.mu.Lock()
	hosts := slices.Clone(n.hosts)
	n.mu.Unlock()
	for _, h := range hosts {
		h.Kill()
	}
	return n.claim.release()
}

// plug makes the host's network namespace, joins it to the bridge and gives the
// host its address and its place in the network.
func (n *Network) plug(h *Host) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if slices.ContainsFunc(n.hosts, func(o *Host) bool { return o.Name == h.Name }) {
		return fmt.Errorf("the network already has a host %q", h.Name)
	}
	n.count++
	h.net = n
	h.IP = address(n.claim.id, 9+n.count)
	h.Addr = net.JoinHostPort(h.IP.String(), "22")
	h.netns = n.claim.prefix() + h.Name
	h.link = fmt.Sprintf("%s-%d", n.claim.bridge(), n.count)
	h.folder = filepath.Join(n.claim.folder, h.Name)
	// The link is the host's, not ours: it does not answer for our addresses.
	err := command(fmt.Sprintf(`netns add %[1]s
link add %[2]s type veth peer name eth0 netns %[1]s
link set %[2]s arp off master %[3]s up
`, h.netns, h.link, n.claim.bridge()), "ip", "-batch", "-")
	if err != nil {
		return err
	}
	err = command(fmt.Sprintf(`link set lo up
addr add %s/24 dev eth0
link set eth0 up
`, h.IP), "ip", "-n", h.netns, "-batch", "-")
	if err != nil {
		return err
	}
	n.hosts = append(n.hosts, h)
	return n.publish()
}

func (n *Network) unplug(h *Host) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts = slices.DeleteFunc(n.hosts, func(o *Host) bool { return o == h })
	return n.publish()
}

func address(network, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 213, byte(network), byte(host)})
}
