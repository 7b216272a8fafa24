package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/crs58/fleet/internal/environ"
)

// checkRevoked refuses a key, or a certificate, that known_hosts or the file
// of RevokedHostKeys revokes. What cannot be found out is refused too.
func (c *hostKeyCheck) checkRevoked(plain ssh.PublicKey, cert *ssh.Certificate) error {
	shown := []ssh.PublicKey{plain}
	if cert != nil {
		shown = append(shown, cert, cert.SignatureKey)
	}
	for _, key := range shown {
		for _, known := range c.known {
			for _, k := range known.revoked {
				if bytes.Equal(k.blob, key.Marshal()) {
					return c.revokedError(key, k.place)
				}
			}
		}
	}
	if c.revocation == "" {
		return nil
	}
	content, err := os.ReadFile(c.revocation)
	if err != nil {
		return fmt.Errorf("read RevokedHostKeys: %w", err)
	}
	for _, key := range shown {
		revoked, err := c.inFile(content, key)
		if err != nil {
			return fmt.Errorf("read RevokedHostKeys %s: %w", c.revocation, err)
		}
		if revoked {
			return c.revokedError(key, c.revocation)
		}
	}
	return nil
}

func (c *hostKeyCheck) revokedError(key ssh.PublicKey, place string) error {
	return &HostKeyError{Host: c.name, Got: fingerprint(key), Err: ErrHostKeyRevoked, Fix: "the host needs a new key, see " + place}
}

// inFile tells whether a list of public keys, or a revocation list of
// OpenSSH's own format, has the key.
func (c *hostKeyCheck) inFile(content []byte, key ssh.PublicKey) (bool, error) {
	if bytes.HasPrefix(content, []byte("SSHKRL\n\x00")) {
		return c.askKeygen(key)
	}
	for rest := content; len(bytes.TrimSpace(rest)) > 0; {
		var listed ssh.PublicKey
		var err error
		if listed, _, _, rest, err = ssh.ParseAuthorizedKey(rest); err != nil {
			return false, err
		}
		if sameKey(listed, key) {
			return true, nil
		}
	}
	return false, nil
}

// askKeygen lets ssh-keygen read the revocation list.
func (c *hostKeyCheck) askKeygen(key ssh.PublicKey) (bool, error) {
	program, err := environ.LookPath(c.env("PATH"), "ssh-keygen")
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // the callback has no context
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-Q", "-f", c.revocation, "/dev/stdin")
	cmd.Stdin = bytes.NewReader(ssh.MarshalAuthorizedKey(key))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("ssh-keygen -Q: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return false, nil
}
