package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

// proc is a process of the machine, whichever host it belongs to.
type proc struct {
	args, environ []string
}

// processes reads /proc; what has gone meanwhile is left out.
func processes() map[int]proc {
	all := map[int]proc{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, ok := readProcess(pid); ok {
			all[pid] = p
		}
	}
	return all
}

func readProcess(pid int) (proc, bool) {
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(args) == 0 { // gone, a zombie, or the kernel's own
		return proc{}, false
	}
	environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	split := func(b []byte) []string { return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00") }
	return proc{split(args), split(environ)}, true
}

// watcher collects the arguments and environments of all processes that come
// up while it runs: what everybody on the machine could have seen.
type watcher struct {
	stop chan struct{}
	done sync.WaitGroup
	seen map[string]bool // command lines and, of foreign programs, environments
}

func (d *demo) watch() *watcher {
	w := &watcher{stop: make(chan struct{}), seen: map[string]bool{}}
	w.done.Go(func() {
		looks := map[string]int{} // a process is looked at until it has become what it is to be
		for tick := time.NewTicker(4 * time.Millisecond); ; {
			entries, _ := os.ReadDir("/proc")
			for _, e := range entries {
				pid, err := strconv.Atoi(e.Name())
				if err != nil || looks[e.Name()] >= 5 {
					continue
				}
				looks[e.Name()]++
				p, ok := readProcess(pid)
				if !ok {
					continue
				}
				w.seen[strings.Join(p.args, " ")] = true
				// The program, what becomes it by exec and what the test runs before
				// that are not foreign.
				if !slices.Contains(p.args, d.program) && !slices.Contains(p.args, d.home) {
					w.seen[p.args[0]+" with the environment "+strings.Join(p.environ, " ")] = true
				}
			}
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
		}
	})
	return w
}

func (w *watcher) end() { close(w.stop); w.done.Wait() }

// needles are the lines by which the plaintext of each secret is known.
func (d *demo) needles() map[string][]byte {
	needles := map[string][]byte{}
	for name, value := range d.secrets {
		longest := slices.MaxFunc(bytes.Split(value, []byte("\n")), func(a, b []byte) int { return len(a) - len(b) })
		needles[name] = bytes.TrimSpace(longest)
	}
	return needles
}

// find names the secrets whose plaintext is in text.
func find(needles map[string][]byte, text []byte) []string {
	var found []string
	for name, needle := range needles {
		if bytes.Contains(text, needle) {
			found = append(found, name)
		}
	}
	return found
}

// search looks for secrets in every file below dir.
func search(t *testing.T, needles map[string][]byte, dir string) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the store is everybody's
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, name := range find(needles, text) {
			t.Errorf("the plaintext of %s is in %s", name, path)
		}
		files++
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return files
}

// searchStore looks at what came into the driver's Nix store since a moment.
func searchStore(t *testing.T, needles map[string][]byte, since time.Time) (files int) {
	t.Helper()
	entries, err := os.ReadDir("/nix/store")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		changed := info.Sys().(*syscall.Stat_t).Ctim // Nix sets the other times to 1970
		if time.Unix(changed.Unix()).After(since) && !strings.HasSuffix(e.Name(), ".lock") {
			files += search(t, needles, filepath.Join("/nix/store", e.Name()))
		}
	}
	return files
}

// searchHost looks at all of a host that is not memory, but for /etc/shadow,
// where the hash of a password belongs, and at its journal.
func searchHost(t *testing.T, needles map[string][]byte, h *testhost.Host) {
	t.Helper()
	var lines []byte
	for _, needle := range needles {
		lines = append(append(lines, needle...), '\n')
	}
	const file = "/run/e2e-needles"
	if err := h.WriteFile(file, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _, _ = h.Exec(context.Background(), "rm", file) }()
	// That the search finds what there is shows where the secrets do belong.
	if found := on(t, h, "/usr/bin/grep", "-rlF", "--file", file, "/run/secrets/"); len(strings.Fields(found)) != 3 {
		t.Errorf("the search found of the secrets of %s only:\n%s", h.Name, found)
	}
	journal := ":"
	if systemd(h) {
		journal = "journalctl --quiet --no-pager --all | /usr/bin/grep -F --file " + file + " | sed 's/^/the journal: /'"
	}
	out, errOut, code := h.Exec(t.Context(), "sh", "-c",
		"/usr/bin/grep -rlF --file "+file+" --exclude=shadow --exclude=shadow- /nix /var /root /home /boot /etc /tmp; [ $? = 1 ] || exit 2; "+journal)
	if out != "" {
		t.Errorf("%s has plaintext of secrets in:\n%s", h.Name, out)
	}
	if code != 0 && out == "" {
		t.Errorf("searching %s: exit status %d: %s", h.Name, code, errOut)
	}
}
