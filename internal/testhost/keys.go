package testhost

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// newKey makes an ed25519 key: the private half in OpenSSH's format and the
// public half as a line of authorized_keys without its newline.
func newKey(comment string) (private []byte, public string, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("making the key %s: %w", comment, err)
	}
	block, err := ssh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return nil, "", fmt.Errorf("making the key %s: %w", comment, err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		return nil, "", fmt.Errorf("making the key %s: %w", comment, err)
	}
	return pem.EncodeToMemory(block), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), nil
}

// KnownHosts is the host's line of a known_hosts file, by address and by name.
func (h *Host) KnownHosts() string {
	return fmt.Sprintf("%s,%s %s\n", h.IP, h.Name, h.HostKey)
}

// SSHConfig is the host's section of an OpenSSH client configuration: `ssh NAME`
// logs in as root with the network's key, checks the host's key strictly, and
// looks at nothing of the user's.
func (h *Host) SSHConfig() string {
	return fmt.Sprintf(`Host %s
  HostName %s
  User root
  IdentityFile %s
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile %s
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  ConnectTimeout 5
`, h.Name, h.IP, h.net.ClientKey, h.net.KnownHosts)
}

// publish rewrites the network's known_hosts and ssh_config for the hosts it has.
// The caller holds n.mu.
func (n *Network) publish() error {
	var known, config strings.Builder
	for _, h := range n.hosts {
		known.WriteString(h.KnownHosts())
		config.WriteString(h.SSHConfig())
	}
	if err := os.WriteFile(n.KnownHosts, []byte(known.String()), 0o600); err != nil {
		return fmt.Errorf("writing the network's known hosts: %w", err)
	}
	if err := os.WriteFile(n.SSHConfig, []byte(config.String()), 0o600); err != nil {
		return fmt.Errorf("writing the network's ssh configuration: %w", err)
	}
	return nil
}
