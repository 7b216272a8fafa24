package testdata_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/testdata"
)

// systems is a flake as a user would write it, with a system for every case.
const systems = `{
  inputs = {
    tools = { url = "path:TOOLS"; flake = false; };
    nixpkgs.url = "path:./vendor/nixpkgs";
    nixpkgs.inputs.tools.follows = "tools";
    nix-darwin.url = "path:./vendor/nix-darwin";
    nix-darwin.inputs.nixpkgs.follows = "nixpkgs";
    home-manager.url = "path:./vendor/home-manager";
    home-manager.inputs.nixpkgs.follows = "nixpkgs";
  };
  outputs = { nixpkgs, nix-darwin, home-manager, ... }:
    let
      nixos = modules: (nixpkgs.lib.nixosSystem {
        system = "x86_64-linux";
        modules = modules ++ [ { networking.hostName = nixpkgs.lib.mkDefault "cinnabar"; } ];
      }).config.system.build.toplevel;
      darwin = modules: (nix-darwin.lib.darwinSystem { inherit modules; }).system;
      home = {
        home-manager.users.ann = { osConfig, ... }: {
          programs.fish.enable = true;
          home.file."host".text = osConfig.networking.hostName;
        };
      };
    in
    {
      systems = {
        first = nixos [
          home-manager.nixosModules.home-manager
          home
          ({ pkgs, config, ... }: {
            users.users.ann = {
              isNormalUser = true;
              extraGroups = [ "wheel" ];
              shell = pkgs.fish;
              openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA ann" ];
            };
            users.users.gone = { isSystemUser = true; group = "gone"; };
            users.groups.gone = { };
            environment.etc."motd".text = "ours\n";
            environment.etc."gone/link".text = "x";
            environment.etc."gone/copy" = { text = "x"; mode = "0600"; };
            environment.systemPackages = [ pkgs.hello ];
            systemd.services.web = {
              wantedBy = [ "multi-user.target" ];
              script = "exec sleep 1000";
              restartTriggers = [ config.environment.etc."motd".source ];
            };
            systemd.services.gone = { wantedBy = [ "multi-user.target" ]; script = "exec sleep 1000"; };
            services.openssh.enable = true;
            system.activationScripts.late = { deps = [ "users" ]; text = "id -u ann >/root/late"; };
            system.activationScripts.dry = { supportsDryActivation = true; text = ''echo "dry as $NIXOS_ACTION" >&2''; };
          })
        ];
        second = nixos [
          {
            environment.etc."motd".text = "newer\n";
            systemd.services.web = { wantedBy = [ "multi-user.target" ]; script = "exec sleep 1001"; };
            systemd.services.new = { wantedBy = [ "multi-user.target" ]; script = "exec sleep 1000"; };
          }
        ];
        activationFails = nixos [ {
          system.activationScripts.aFails.text = "false";
          system.activationScripts.zAfter.text = "touch /root/after";
        } ];
        unitFails = nixos [ {
          systemd.services.bad = { wantedBy = [ "multi-user.target" ]; script = "exit 3"; };
          systemd.services.good = { wantedBy = [ "multi-user.target" ]; script = "exec sleep 1000"; };
        } ];
        checkFails = nixos [ { system.preSwitchChecks.never = "echo no >&2; exit 1"; } ];
        mac = darwin [
          home-manager.darwinModules.home-manager
          home
          ({ pkgs, ... }: {
            nixpkgs.hostPlatform = "aarch64-darwin";
            networking.hostName = "argentum";
            system.stateVersion = 6;
            users.users.ann.home = "/Users/ann";
            programs.fish.enable = true;
            launchd.daemons.web = { command = "/bin/web"; serviceConfig.KeepAlive = true; };
            system.activationScripts.postActivation.text = "echo post >/var/root/post";
            system.activationScripts.preActivation.text = "mkdir -p /var/root; echo pre >/var/root/pre";
          })
        ];
      };
      tools =
        let
          pkgs = nixpkgs.legacyPackages.aarch64-darwin.extend (final: prev: {
            hello = prev.writeShellScriptBin "hello" "echo overlaid";
            greet = final.writeShellApplication { name = "greet"; runtimeInputs = [ final.hello ]; text = "hello"; };
          });
        in
        {
          inherit (pkgs) openssh sops;
          join = pkgs.symlinkJoin { name = "join"; paths = [ pkgs.greet pkgs.coreutils ]; };
          derived = pkgs.stdenv.mkDerivation {
            pname = "derived";
            version = "1";
            src = ./vendor/home-manager;
            installPhase = "mkdir $out; cp flake.nix $out/copy";
          };
        };
      messages = {
        assertion = nixos [ { assertions = [ { assertion = false; message = "one"; } { assertion = true; message = "two"; } { assertion = false; message = "three"; } ]; } ];
        snippet = nixos [ { system.activationScripts.a.deps = [ "nosuch" ]; } ];
        cycle = nixos [ { system.activationScripts.a.deps = [ "b" ]; system.activationScripts.b.deps = [ "a" ]; } ];
        option = nixos [ { services.opensssh.enable = true; } ];
        class = nixos [ { _class = "darwin"; _file = "mac.nix"; } ];
        user = nixos [ { users.users.ann = { }; } ];
        part = darwin [ { nixpkgs.hostPlatform = "aarch64-darwin"; system.activationScripts.mine.text = "x"; } ];
        home = nixos [ home-manager.nixosModules.home-manager { home-manager.users.ann.programs.fsh.enable = true; users.users.ann.isNormalUser = true; } ];
      };
    };
}`

// flake writes the flake of systems and returns its reference.
func flake(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "vendor"), testdata.Nix); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(systems, "TOOLS", abs(t, "../.cache/bin"))
	if err := os.WriteFile(filepath.Join(dir, "flake.nix"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return "path:" + dir
}

// build builds all systems and returns their store paths by name.
func build(t *testing.T) map[string]string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("systems are activated as root: run the tests as root")
	}
	return buildAll(t, "systems")
}

// buildAll builds what an output of the flake has.
func buildAll(t *testing.T, output string) map[string]string {
	t.Helper()
	ref := flake(t)
	var paths map[string]string
	out := nixOK(t, "eval", "--json", "--no-write-lock-file", ref+"#"+output, "--apply", "builtins.mapAttrs (_: s: s.outPath)")
	if err := json.Unmarshal([]byte(out), &paths); err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "--no-link", "--no-write-lock-file"}
	for name := range paths {
		args = append(args, ref+"#"+output+"."+name)
	}
	nixOK(t, args...)
	return paths
}

// root is a folder that stands for a machine: nothing in it but /nix.
type root string

func newRoot(t *testing.T, paths ...string) root {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { // the store's folders are read-only for the test's removal too
		if err := exec.Command("chmod", "-R", "u+w", dir).Run(); err != nil {
			t.Error(err)
		}
	})
	args := []string{"copy", "--no-check-sigs", "--to", "local?root=" + dir}
	nixOK(t, append(args, paths...)...)
	return root(dir)
}

// run runs a program in the root and returns its exit code and output.
func (r root) run(t *testing.T, env []string, uid uint32, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=/nonexistent"}, env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: string(r), Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	// Without /dev/null: a bare root has none.
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), string(out)
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

// must runs a program that has to succeed.
func (r root) must(t *testing.T, args ...string) string {
	t.Helper()
	code, out := r.run(t, nil, 0, args...)
	if code != 0 {
		t.Fatalf("%s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

func (r root) read(t *testing.T, path string) string {
	t.Helper()
	// Links are absolute and mean this root: follow them here.
	for range 10 {
		target, err := os.Readlink(filepath.Join(string(r), path))
		if err != nil {
			break
		}
		path = target
		if dir, rest, ok := strings.Cut(path, "/static/"); ok {
			tree, err := os.Readlink(filepath.Join(string(r), dir, "static"))
			if err != nil {
				t.Fatal(err)
			}
			path = filepath.Join(tree, rest)
		}
	}
	b, err := os.ReadFile(filepath.Join(string(r), path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (r root) write(t *testing.T, path, text string) {
	t.Helper()
	p := filepath.Join(string(r), path)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r root) exists(path string) bool {
	_, err := os.Lstat(filepath.Join(string(r), path))
	return err == nil
}

// tree lists everything outside the store with mode, owner, and content or target.
func (r root) tree(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(string(r), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(string(r), path)
		if err != nil {
			return err
		}
		if name == "nix" {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " -> " + target
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += " " + string(b)
		}
		found[name] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const (
	stc  = "/bin/switch-to-configuration"
	lock = "run/nixos/switch-to-configuration.lock"
)

func TestNixOSInAFolder(t *testing.T) {
	t.Parallel()
	built := build(t)
	first, second := built["first"], built["second"]

	t.Run("toplevel", func(t *testing.T) {
		for _, name := range []string{"activate", "dry-activate", "init", "bin/switch-to-configuration", "etc/hostname", "sw/bin/hello", "systemd/web.service"} {
			if _, err := os.Stat(filepath.Join(first, name)); err != nil {
				t.Error(err)
			}
		}
		for name, want := range map[string]string{"system": "x86_64-linux", "nixos-version": "26.11pre-fleet", "init-interface-version": "systemd 1"} {
			if b, err := os.ReadFile(filepath.Join(first, name)); err != nil || string(b) != want {
				t.Errorf("%s is %q (%v), want %q", name, b, err, want)
			}
		}
	})

	t.Run("switch", func(t *testing.T) {
		r := newRoot(t, first, second)
		r.write(t, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nhost:x:1000:1000::/home/host:/bin/sh\n")
		r.write(t, "etc/group", "root:x:0:\nwheel:x:27:host\n")
		r.write(t, "etc/motd", "Debian\n")
		r.write(t, "etc/own", "kept\n")
		r.write(t, "etc/systemd/system/debian.service", "kept\n")

		r.must(t, first+stc, "switch")
		once := r.tree(t)
		r.must(t, first+stc, "switch")
		if diff := cmp.Diff(once, r.tree(t)); diff != "" {
			t.Errorf("switching again changed:\n%s", diff)
		}
		for path, want := range map[string]string{
			"etc/hostname":                      "cinnabar\n",
			"etc/motd":                          "ours\n",
			"etc/own":                           "kept\n",
			"etc/gone/copy":                     "x",
			"etc/ssh/authorized_keys.d/ann":     "ssh-ed25519 AAAA ann\n",
			"etc/systemd/system/debian.service": "kept\n",
			"home/ann/host":                     "cinnabar",
			"root/late":                         "1001\n",
			"boot/fleet-default":                first + "\n",
			"var/lib/nixos/declarative-users":   "ann\ngone\n",
		} {
			if got := r.read(t, path); got != want {
				t.Errorf("%s is %q, want %q", path, got, want)
			}
		}
		if got := r.read(t, "etc/group"); !strings.Contains(got, "wheel:x:27:host,ann\n") {
			t.Errorf("wheel keeps neither number nor members:\n%s", got)
		}
		passwd := r.read(t, "etc/passwd")
		for _, want := range []string{"root:x:0:0:root:/root:/bin/sh\n", "host:x:1000:1000::/home/host:/bin/sh\n", "ann:x:1001:100::/home/ann:/nix/store/"} {
			if !strings.Contains(passwd, want) {
				t.Errorf("/etc/passwd lacks %q:\n%s", want, passwd)
			}
		}
		if got := r.read(t, "etc/systemd/system/web.service"); !strings.Contains(got, "ExecStart=/nix/store/") {
			t.Errorf("the unit is\n%s", got)
		}
		if info, err := os.Stat(filepath.Join(string(r), "home/ann")); err != nil || info.Mode().Perm() != 0o700 || info.Sys().(*syscall.Stat_t).Uid != 1001 {
			t.Errorf("/home/ann: %v, %v", info, err)
		}

		r.must(t, second+stc, "switch")
		for _, gone := range []string{"etc/gone/link", "etc/gone/copy", "etc/systemd/system/gone.service", "etc/ssh/authorized_keys.d/ann"} {
			if r.exists(gone) {
				t.Errorf("%s is still there", gone)
			}
		}
		for _, kept := range []string{"etc/own", "etc/systemd/system/debian.service", "etc/systemd/system/new.service", "home/ann/host"} {
			if !r.exists(kept) {
				t.Errorf("%s is gone", kept)
			}
		}
		if got := r.read(t, "etc/passwd"); strings.Contains(got, "ann:") || !strings.Contains(got, "host:") {
			t.Errorf("/etc/passwd afterwards:\n%s", got)
		}
	})

	t.Run("actions", func(t *testing.T) {
		r := newRoot(t, first)
		bare := r.tree(t)
		code, out := r.run(t, nil, 0, first+stc, "dry-activate")
		if code != 0 || !strings.Contains(out, "would activate the configuration") || !strings.Contains(out, "dry as dry-activate") {
			t.Errorf("dry-activate: exit %d\n%s", code, out)
		}
		r.must(t, first+stc, "check")
		after := r.tree(t)
		for _, name := range []string{"dev", "dev/null", "run", "run/nixos", lock} {
			delete(after, name)
		}
		if diff := cmp.Diff(bare, after); diff != "" {
			t.Errorf("check and dry-activate changed:\n%s", diff)
		}
		r.must(t, first+stc, "boot")
		if r.read(t, "boot/fleet-default") != first+"\n" || r.exists("run/current-system") {
			t.Error("boot must make the system the default and not activate it")
		}
		r.must(t, first+stc, "test")
		if target, err := os.Readlink(filepath.Join(string(r), "run/current-system")); err != nil || target != first {
			t.Errorf("after test the current system is %s, %v", target, err)
		}
		if got := r.read(t, "etc/hostname"); got != "cinnabar\n" {
			t.Errorf("/etc/hostname is %q", got)
		}
	})

	t.Run("exit codes", func(t *testing.T) {
		r := newRoot(t, first, built["activationFails"], built["checkFails"])
		expect := func(name string, want int, text string, env []string, uid uint32, args ...string) {
			t.Helper()
			if code, out := r.run(t, env, uid, args...); code != want || !strings.Contains(out, text) {
				t.Errorf("%s: exit %d, want %d and %q:\n%s", name, code, want, text, out)
			}
		}
		expect("no action", 1, "Usage:", nil, 0, first+stc)
		expect("unknown action", 1, "Usage:", nil, 0, first+stc, "swich")
		expect("not root", 1, "must be run as root", nil, 65534, first+stc, "switch")
		expect("check fails", 1, "Pre-switch check 'never' failed", nil, 0, built["checkFails"]+stc, "check")
		expect("check fails on switch", 1, "no\n", nil, 0, built["checkFails"]+stc, "switch")
		if r.exists("run/current-system") {
			t.Error("a system whose check failed was activated")
		}
		expect("check left out", 0, "", []string{"NIXOS_NO_CHECK=1"}, 0, built["checkFails"]+stc, "switch")

		expect("activation fails", 2, "Activation script snippet 'aFails' failed (1)", nil, 0, built["activationFails"]+stc, "switch")
		if target, _ := os.Readlink(filepath.Join(string(r), "run/current-system")); target != built["activationFails"] || !r.exists("root/after") {
			t.Errorf("a failing snippet must not end the activation; the current system is %s", target)
		}

		held := flock.New(filepath.Join(string(r), lock))
		if ok, err := held.TryLock(); err != nil || !ok {
			t.Fatal(ok, err)
		}
		expect("locked", 11, "Could not acquire lock", nil, 0, first+stc, "switch")
		if err := held.Unlock(); err != nil {
			t.Fatal(err)
		}

		r.write(t, "other/init-interface-version", "systemd 0")
		if err := os.Remove(filepath.Join(string(r), "run/current-system")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/other", filepath.Join(string(r), "run/current-system")); err != nil {
			t.Fatal(err)
		}
		expect("other init", 100, "until you reboot", nil, 0, first+stc, "switch")
	})
}

func TestDarwinInAFolder(t *testing.T) {
	t.Parallel()
	mac := build(t)["mac"]
	r := newRoot(t, mac)

	if code, out := r.run(t, nil, 65534, mac+"/activate"); code != 2 || !strings.Contains(out, "must be run as root") {
		t.Errorf("activate as nobody: exit %d\n%s", code, out)
	}
	r.must(t, mac+"/activate")
	once := r.tree(t)
	r.must(t, mac+"/sw/bin/darwin-rebuild", "activate")
	if diff := cmp.Diff(once, r.tree(t)); diff != "" {
		t.Errorf("activating again changed:\n%s", diff)
	}
	for path, want := range map[string]string{
		"var/root/post":  "post\n",
		"var/root/pre":   "pre\n",
		"Users/ann/host": "argentum",
	} {
		if got := r.read(t, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"Library/LaunchDaemons/org.nixos.web.plist":                 "<string>exec /bin/web</string>",
		"Library/Preferences/SystemConfiguration/preferences.plist": "<string>argentum</string>",
		"etc/fish/config.fish":                                      "fish",
		strings.TrimPrefix(mac, "/") + "/systemConfig":              mac,
		strings.TrimPrefix(mac, "/") + "/darwin-version":            "26.11",
		strings.TrimPrefix(mac, "/") + "/system":                    "aarch64-darwin",
	} {
		if got := r.read(t, path); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%s", path, want, got)
		}
	}
	if r.exists(mac + "/activate-user") {
		t.Error("there is an activate-user")
	}
	if target, err := os.Readlink(filepath.Join(string(r), "run/current-system")); err != nil || target != mac {
		t.Errorf("the current system is %s, %v", target, err)
	}

	if err := os.Remove(filepath.Join(string(r), "etc/fish/config.fish")); err != nil {
		t.Fatal(err)
	}
	r.write(t, "etc/fish/config.fish", "mine\n")
	if code, out := r.run(t, nil, 0, mac+"/activate"); code != 2 || !strings.Contains(out, "/etc/fish/config.fish") {
		t.Errorf("a file in the way: exit %d\n%s", code, out)
	}
}

// TestPackages runs packages, built for another kind of system, where nothing is
// but the store.
func TestPackages(t *testing.T) {
	t.Parallel()
	built := buildAll(t, "tools")
	r := newRoot(t, built["openssh"], built["sops"], built["join"], built["derived"])
	if out := r.must(t, built["join"]+"/bin/greet"); out != "overlaid\n" {
		t.Errorf("greet says %q", out)
	}
	if out := r.must(t, built["join"]+"/bin/ls", built["derived"]); out != "copy\n" {
		t.Errorf("the derived package holds %q", out)
	}
	r.must(t, built["openssh"]+"/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/key")
	if key := r.read(t, "key.pub"); !strings.HasPrefix(key, "ssh-ed25519 ") {
		t.Errorf("the public key is %q", key)
	}
	if out := r.must(t, built["sops"]+"/bin/sops", "--version"); !strings.HasPrefix(out, "sops ") {
		t.Errorf("sops says %q", out)
	}
}

// TestMessages reads what wrong configurations are refused with.
func TestMessages(t *testing.T) {
	t.Parallel()
	ref := flake(t)
	for name, want := range map[string]string{
		"assertion": "Failed assertions:\n- one\n- three",
		"snippet":   "system.activationScripts.a: there is no snippet `nosuch' to depend on",
		"cycle":     "system.activationScripts: these depend on each other: a -> b -> a",
		"option":    "Did you mean `services.openssh'",
		"class":     "The module `mac.nix` (class: \"darwin\") cannot be imported into a module evaluation that expects class \"nixos\"",
		"user":      "Exactly one of users.users.ann.isSystemUser and users.users.ann.isNormalUser must be set.",
		"part":      "system.activationScripts.mine is run by nobody",
		"home":      "The option `home-manager.users.ann.programs.fsh' does not exist.",
	} {
		_, stderr, err := nix(t, "eval", "--no-write-lock-file", ref+"#messages."+name+".outPath")
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if got := lastMessage(stderr); !strings.Contains(got, want) {
			t.Errorf("%s: the message lacks %q:\n%s", name, want, got)
		}
	}
}
