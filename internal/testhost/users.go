package testhost

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// User is somebody with an account on a host. The network's key lets them in.
type User struct {
	Name string
	// Password is what sudo asks for; empty, there is none that would do.
	Password string
	// Sudo and Doas say what they may do as root: the part of a rule of sudoers
	// after the hosts, such as "(ALL) NOPASSWD: ALL", and the options of a permit
	// rule of doas.conf, such as "nopass" or " " for none. Empty: nothing.
	Sudo, Doas string
}

// writeUsers makes the accounts and what sudo and doas need to know of them.
func (h *Host) writeUsers() error {
	passwd := "root:x:0:0:root:/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
	shadow := "root:*:20000::::::\nsshd:*:20000::::::\nnobody:*:20000::::::\n"
	// As Debian has it, with the relay through a terminal of its own that is the default since 1.9.14.
	sudoers := "Defaults env_reset, use_pty\nDefaults secure_path=\"" + h.path + "\"\nroot ALL=(ALL:ALL) ALL\n"
	doas := "permit nopass root\n"
	for i, u := range h.users {
		id, hash := 1000+i, "*"
		if u.Password != "" {
			var err error
			if hash, err = crypt(u.Password); err != nil {
				return err
			}
		}
		passwd += fmt.Sprintf("%s:x:%d:100::/home/%[1]s:/bin/sh\n", u.Name, id)
		shadow += fmt.Sprintf("%s:%s:20000::::::\n", u.Name, hash)
		if u.Sudo != "" {
			sudoers += u.Name + " ALL=" + u.Sudo + "\n"
		}
		if u.Doas != "" {
			doas += "permit " + u.Doas + " " + u.Name + "\n"
		}
		home := filepath.Join(h.disk(), "home", u.Name)
		if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
			return err
		}
		if err := h.writeDisk(filepath.Join("home", u.Name, ".ssh/authorized_keys"), h.net.AuthorizedKey+"\n", 0o600); err != nil {
			return err
		}
		for _, path := range []string{home, filepath.Join(home, ".ssh"), filepath.Join(home, ".ssh/authorized_keys")} {
			if err := os.Chown(path, id, 100); err != nil {
				return err
			}
		}
	}
	const pam = "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n"
	if err := os.MkdirAll(filepath.Join(h.disk(), "etc/pam.d"), 0o755); err != nil {
		return err
	}
	for _, f := range []struct {
		path, content string
		mode          os.FileMode
	}{
		{"etc/passwd", passwd, 0o644},
		{"etc/shadow", shadow, 0o600},
		{"etc/sudoers", sudoers, 0o440},
		{"etc/doas.conf", doas, 0o400},
		{"etc/pam.d/sudo", pam, 0o644},
		{"etc/pam.d/doas", pam, 0o644},
	} {
		if err := h.writeDisk(f.path, f.content, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// crypt hashes a password for /etc/shadow.
func crypt(password string) (string, error) {
	openssl, err := tool("openssl")
	if err != nil {
		return "", err
	}
	cmd := exec.Command(openssl, "passwd", "-6", "-stdin")
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}
