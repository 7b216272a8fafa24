package nix_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
)

func TestCopyAndPathInfo(t *testing.T) {
	c := newCLI(t, newFlake(t))
	built, err := c.Build(t.Context(), nix.BuildRequest{Installables: []string{".#user"}})
	if err != nil {
		t.Fatal(err)
	}
	out := built[0].Outputs["out"]
	const missing = "/nix/store/00000000000000000000000000000000-missing"
	infos, err := c.PathInfo(t.Context(), "", out, missing)
	if err != nil || len(infos) != 1 {
		t.Fatalf("%v, %v", infos, err)
	}
	info := infos[out]
	if len(info.References) != 1 || info.NarSize == 0 || !strings.HasPrefix(info.NarHash, "sha256-") {
		t.Errorf("%+v", info)
	}
	closure, err := c.Closure(t.Context(), "", out)
	if err != nil || len(closure) != 2 || closure[out].NarSize != info.NarSize || closure[info.References[0]].NarSize == 0 {
		t.Errorf("the closure is %+v, %v", closure, err)
	}
	if closure, err := c.Closure(t.Context(), "", missing); err != nil || len(closure) != 0 {
		t.Errorf("the closure of a missing path is %v, %v", closure, err)
	}
	for _, store := range []string{"local?root=" + t.TempDir(), filepath.Join(t.TempDir(), "store")} {
		for _, ask := range []func() (map[string]nix.PathInfo, error){
			func() (map[string]nix.PathInfo, error) { return c.PathInfo(t.Context(), store, out) },
			func() (map[string]nix.PathInfo, error) { return c.Closure(t.Context(), store, out) },
		} {
			if infos, err := ask(); err != nil || len(infos) != 0 {
				t.Fatalf("%s, before: %v, %v", store, infos, err)
			}
		}
		if err := c.Copy(t.Context(), nix.CopyRequest{To: store, Paths: []string{out}, NoCheckSigs: true, SubstituteOnDestination: true}); err != nil {
			t.Fatal(err)
		}
		infos, err := c.PathInfo(t.Context(), store, out, info.References[0])
		if err != nil || len(infos) != 2 || infos[out].NarSize != info.NarSize {
			t.Errorf("%s, after: %+v, %v", store, infos, err)
		}
		if err := c.Copy(t.Context(), nix.CopyRequest{From: store, Paths: []string{out}, NoCheckSigs: true}); err != nil {
			t.Errorf("%s, back: %v", store, err)
		}
	}
	err = c.Copy(t.Context(), nix.CopyRequest{To: t.TempDir(), Paths: []string{missing}})
	if e := asError(t, err); !strings.Contains(e.Message, missing) {
		t.Errorf("missing path: %v", err)
	}
	if err := c.Copy(t.Context(), nix.CopyRequest{To: "/"}); err != nil {
		t.Errorf("nothing to copy: %v", err)
	}
}

// A deploy copies through a socket that a daemon answers on.
func TestCopyToADaemon(t *testing.T) {
	c := newCLI(t, newFlake(t))
	built, err := c.Build(t.Context(), nix.BuildRequest{Installables: []string{".#user"}})
	if err != nil {
		t.Fatal(err)
	}
	out := built[0].Outputs["out"]
	dir := t.TempDir()
	socket := filepath.Join(dir, "socket")
	env := nixtest.Env(t)
	daemon := exec.CommandContext(t.Context(), "env", append(slices.Clone(env), "NIX_DAEMON_SOCKET_PATH="+socket,
		"nix-daemon", "--store", "local?root="+filepath.Join(dir, "root"))...)
	daemon.WaitDelay = time.Second
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	waitFor(t, "the daemon's socket", func() bool { return exists(socket) })
	store := "unix://" + socket
	if infos, err := c.PathInfo(t.Context(), store, out); err != nil || len(infos) != 0 {
		t.Errorf("before: %v, %v", infos, err)
	}
	var copied []string
	err = c.Copy(t.Context(), nix.CopyRequest{To: store, Paths: []string{out}, NoCheckSigs: true, OnEvent: func(e nix.Event) {
		if e.Kind == nix.Started && e.Activity == nix.CopyPath {
			copied = append(copied, e.Name())
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(copied)
	if !slices.Equal(copied, []string{"ok", "user"}) {
		t.Errorf("copied %q", copied)
	}
	if infos, err := c.PathInfo(t.Context(), store, out); err != nil || len(infos) != 1 {
		t.Errorf("after: %v, %v", infos, err)
	}
}

// A Nix up to 2.18 fails for a missing path instead of leaving it out.
func TestPathInfoOfOldNix(t *testing.T) {
	c := nix.New(script(t, `case "$*" in
--version) echo 'nix (Nix) 2.18.1';;
*-gone*) echo "error: path '/nix/store/00000000000000000000000000000000-gone' is not valid" >&2; exit 1;;
*) echo '[{"path":"/nix/store/11111111111111111111111111111111-here","narHash":"sha256-x","narSize":5,"closureSize":7,"references":[]}]';;
esac
`))
	infos, err := c.PathInfo(t.Context(), "", "/nix/store/00000000000000000000000000000000-gone", "/nix/store/11111111111111111111111111111111-here")
	if err != nil || len(infos) != 1 || infos["/nix/store/11111111111111111111111111111111-here"].NarSize != 5 {
		t.Errorf("%v, %v", infos, err)
	}
	if infos, err := c.PathInfo(t.Context(), "", "/nix/store/00000000000000000000000000000000-gone"); err != nil || len(infos) != 0 {
		t.Errorf("%v, %v", infos, err)
	}
}
