package testhost_test

import (
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

// Who comes to a Mac by SSH, and what it starts at boot, find what a Mac has.
func TestMac(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Macs(t, n, testhost.Options{Name: "stibnite", Users: []testhost.User{{Name: "admin", Password: "secret"}}})[0]
	knows := []struct{ command, want string }{
		{"echo $PATH", "/usr/bin:/bin:/usr/sbin:/sbin"},
		{"uname -s", "Darwin"},
		{"echo $BASH", "/usr/bin/sh"},
		{"stat -f %Lp /etc/sudoers", "440"},
		{"shasum -a 256 /dev/null | cut -c -8", "e3b0c442"},
		{"wc -c </dev/null", "       0"},
		{"sysctl -n kern.boottime | cut -c -7", "{ sec ="},
		{"dscl . -read /Users/nobody NFSHomeDirectory", "NFSHomeDirectory: /var/empty"},
		{"/nix/var/nix/profiles/default/bin/nix-store --version | cut -d ' ' -f 1", "nix-store"},
	}
	var commands, want []string
	for _, k := range knows {
		commands, want = append(commands, k.command), append(want, k.want)
	}
	for _, command := range []string{
		"stat -c %a /etc/sudoers", "readlink -f /etc", "date --utc", "ls --all /", `sed -n 's/a\|b//p' /dev/null`, "nohup true", "head -c 0 /dev/null", "ls /var/lib", "setsid true", "systemctl", "sha256sum /dev/null", "nix-store --version",
		"launchctl print system/none",
	} {
		commands = append(commands, command+" 2>/dev/null && echo known: "+strings.Fields(command)[0])
	}
	if got := mustSSH(t, n, h.Name, strings.Join(commands, "; ")+"; true"); got != strings.Join(want, "\n") {
		t.Errorf("it answers\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if got := mustSSH(t, n, "admin@"+h.Name, "echo secret | sudo -S -p '' -H -- sh -c 'id -u; echo $PATH'"); got != "0\n/usr/bin:/bin:/usr/sbin:/sbin" {
		t.Errorf("sudo: %q", got)
	}
	if got := mustExec(t, h, "cat", "/var/log/sudo"); !strings.HasSuffix(got, "sudo -S -p  -H") {
		t.Errorf("sudo was called as %q", got)
	}

	const plist = `<plist version="1.0"><dict>
<key>ProgramArguments</key><array><string>/bin/sh</string><string>-c</string><string>echo "$PATH" >/var/db/started</string></array>
<key>RunAtLoad</key><true/></dict></plist>
`
	if err := h.WriteFile("/Library/LaunchDaemons/org.example.plist", []byte(plist), 0o644); err != nil {
		t.Fatal(err)
	}
	h.Kill()
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for got := ""; got != "/usr/bin:/bin:/usr/sbin:/sbin"; got = mustExec(t, h, "sh", "-c", "cat /var/db/started || true") {
		if time.Now().After(deadline) {
			t.Fatalf("the daemon has not run at boot: %q", got)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
