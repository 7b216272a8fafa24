package testhost

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const stateDir = "/run/fleet-testhost"

// claim is the right to one of the numbers 1 to 250, and with it to everything
// named after the number: the bridge ft<N>, the range 10.213.N.0/24, network
// namespaces, cgroups and nspawn machines fleet-<N>-<host>, and a folder for the
// disks. The claim is the folder <stateDir>/<N>, flocked for as long as its
// process lives; whoever can lock it knows that its owner is dead and removes
// all of the above by their names.
type claim struct {
	id     int
	folder string // disks, keys, logs; its path is also in <stateDir>/<N>/folder
	lock   *os.File
}

func (c *claim) bridge() string { return fmt.Sprintf("ft%d", c.id) }
func (c *claim) prefix() string { return fmt.Sprintf("fleet-%d-", c.id) }
func (c *claim) state() string  { return filepath.Join(stateDir, strconv.Itoa(c.id)) }

// newClaim removes the leftovers of dead processes and takes a free number.
func newClaim() (*claim, error) {
	unlock, err := lockState()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := reap(); err != nil {
		return nil, err
	}
	for i := range 250 {
		// Each process starts elsewhere, so that a number rests before it is used
		// again: the kernel takes its time to forget what bore it.
		c := &claim{id: (os.Getpid()+i)%250 + 1}
		if inUse(c) {
			continue
		}
		switch err := os.Mkdir(c.state(), 0o700); {
		case errors.Is(err, fs.ErrExist):
			continue
		case err != nil:
			return nil, fmt.Errorf("claiming a test network: %w", err)
		}
		if _, err := c.tryLock(); err != nil { // nobody else can have it: the state is locked
			return nil, fmt.Errorf("locking the test network %d: %w", c.id, err)
		}
		if c.folder, err = os.MkdirTemp("", "fleet-testhost-"); err != nil {
			return nil, errors.Join(fmt.Errorf("making the hosts' folder: %w", err), c.remove())
		}
		if err := os.WriteFile(filepath.Join(c.state(), "folder"), []byte(c.folder), 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("claiming a test network: %w", err), c.remove())
		}
		return c, nil
	}
	return nil, errors.New("all 250 test networks are taken: end the test processes that hold them (fuser " + stateDir + "/*)")
}

// release removes all that the claim stands for and gives the number back.
func (c *claim) release() error {
	unlock, err := lockState()
	if err != nil {
		return err
	}
	defer unlock()
	return c.remove()
}

// reap removes what dead owners left. The caller holds the state's lock.
func reap() error {
	entries, err := os.ReadDir(stateDir)
	if err != nil {
		return fmt.Errorf("looking for left test networks: %w", err)
	}
	var errs []error
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		c := &claim{id: id}
		locked, err := c.tryLock()
		if err != nil {
			errs = append(errs, fmt.Errorf("looking for left test networks: %w", err))
		}
		if !locked {
			continue
		}
		folder, err := os.ReadFile(filepath.Join(c.state(), "folder"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		c.folder = string(folder)
		if err := c.remove(); err != nil {
			errs = append(errs, fmt.Errorf("removing the test network %d of a dead process: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// remove takes down everything named after the claim and ends the claim, the
// latter only if all is gone. The caller holds the state's lock.
func (c *claim) remove() error {
	defer c.lock.Close()
	links, err := net.Interfaces()
	errs := []error{err}
	for _, l := range links {
		if l.Name == c.bridge() || strings.HasPrefix(l.Name, c.bridge()+"-") {
			if err := command("", "ip", "link", "del", l.Name); err != nil {
				if _, gone := net.InterfaceByName(l.Name); gone == nil {
					errs = append(errs, err) // else a tap that ended with its process
				}
			}
		}
	}
	errs = append(errs, removeHosts(c.prefix()+"*", c.folder))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(c.state())
}

func (c *claim) tryLock() (bool, error) {
	f, err := os.Open(c.state())
	if err != nil {
		return false, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return false, nil
		}
		return false, err
	}
	c.lock = f
	return true, nil
}

// lockState serialises claiming, releasing and reaping on the machine.
func lockState() (unlock func(), err error) {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the test hosts' state folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(stateDir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the test hosts' state: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking the test hosts' state: %w", err)
	}
	return func() { f.Close() }, nil
}

// inUse says whether the machine has the claim's bridge or an address of its
// range from elsewhere.
func inUse(c *claim) bool {
	if _, err := net.InterfaceByName(c.bridge()); err == nil {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if strings.HasPrefix(a.String(), fmt.Sprintf("10.213.%d.", c.id)) {
			return true
		}
	}
	return false
}
