package vars

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
	"github.com/crs58/fleet/internal/secrets"
)

// After a run nothing of a secret is in any file of the repository or git, in
// Nix's logs, in memory-backed folders, in /tmp, in an event, or was in the
// arguments or environment of any process meanwhile.
func TestNoPlaintextAnywhere(t *testing.T) {
	// Put together here, so that the script's text in the store has them not.
	canaries := []string{"canary-" + "made-by-script", "canary-" + "typed-in", "canary-" + "from-dependency"}
	w := newWorld(t, one(
		shared(gen("source", `printf 'canary-%s' from-dependency > $out/s`, "s:local")),
		needs(asks(gen("key", `sleep 0.3; printf 'canary-%s' made-by-script > $out/k; cat $in/source/s $prompts/word >> $out/k; cat $out/k`, "k"), "word", true), "source"),
		needs(gen("bad", `cat $in/source/s; exit 1`, "f"), "source"),
	))
	logs := t.TempDir()
	w.opts.Builder = nix.New(nix.Options{Env: nixtest.Env(t), LogDir: logs})
	w.opts.Sources.Answers = Answers{"web": {"key": {"word": canaries[1]}}}
	w.opts.Commit = true

	leaks := watchProcesses(canaries)
	_, err := w.run(Request{})
	for _, leak := range leaks() {
		t.Error(leak)
	}
	if err == nil {
		t.Fatal("the bad generator did not fail")
	}
	if got := w.get("web", "key/k"); got != canaries[0]+canaries[2]+canaries[1] {
		t.Fatalf("the value is %q", got)
	}
	machineKey, err2 := secrets.MachinePrivateKey(t.Context(), w.fleet.Layout, "web", w.fleet.Identities)
	if err2 != nil {
		t.Fatal(err2)
	}
	canaries = append(canaries, string(machineKey), "AGE-SECRET-KEY-")
	texts := map[string]string{"the error": err.Error()}
	for _, e := range w.events {
		texts["an event"] += e.Text + e.Path + e.File
	}
	for where, text := range texts {
		for _, canary := range canaries {
			if strings.Contains(text, canary) {
				t.Errorf("%s shows %s", where, canary)
			}
		}
	}
	for _, dir := range []string{w.root, logs, "/dev/shm"} {
		grep(t, dir, canaries)
	}
	out := w.git("log", "--all", "--patch") // objects are compressed
	for _, canary := range canaries {
		if strings.Contains(out, canary) {
			t.Errorf("git log shows %s", canary)
		}
	}
}

func grep(t *testing.T, dir string, canaries []string) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		data, _ := os.ReadFile(path)
		for _, canary := range canaries {
			if bytes.Contains(data, []byte(canary)) {
				t.Errorf("%s holds %s", path, canary)
			}
		}
		return nil
	})
}

// watchProcesses samples the arguments and the environment of all processes
// until the returned function is called, which tells what was found.
func watchProcesses(canaries []string) (stop func() []string) {
	var leaks []string
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-end:
				return
			case <-time.After(10 * time.Millisecond):
			}
			for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ"} {
				files, _ := filepath.Glob(pattern)
				for _, file := range files {
					data, _ := os.ReadFile(file)
					for _, canary := range canaries {
						if bytes.Contains(data, []byte(canary)) {
							leaks = append(leaks, file+" shows "+canary)
						}
					}
				}
			}
		}
	})
	return func() []string {
		close(end)
		done.Wait()
		return leaks
	}
}
