package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// credentials are the keys to offer to a host, and the tale of them for the
// error in case that none is accepted.
type credentials struct {
	signers []ssh.Signer
	tried   []string
	skipped []string
	accepts []string
	agent   net.Conn // nil without an agent
}

// identity is what an identity file has to give: a key, or only its public
// half, which chooses a key of the agent.
type identity struct {
	path   string
	signer ssh.Signer
	public ssh.PublicKey
	reason string // why there is no signer
}

// collect gathers the keys: first those that the configuration names (from
// the agent where it has them), then, unless IdentitiesOnly, the agent's others.
// This order spends the host's few attempts on the keys that were meant.
func collect(ctx context.Context, cfg Config, s settings) (*credentials, error) {
	c := &credentials{}
	var identities []identity
	for i, path := range s.identityFiles {
		if slices.Contains(s.identityFiles[:i], path) {
			continue
		}
		id, err := readIdentity(path)
		if errors.Is(err, fs.ErrNotExist) && !slices.Contains(cfg.IdentityFiles, path) {
			continue // the configuration lists candidates
		}
		if err != nil {
			return nil, fmt.Errorf("read the identity file: %w", err)
		}
		identities = append(identities, id)
	}
	held := c.askAgent(ctx, s.identityAgent)

	var named, others []ssh.Signer
	var namedTale, otherTale []string
	for _, signer := range held {
		key := signer.PublicKey()
		tale := "the agent's " + describe(key)
		if slices.ContainsFunc(identities, func(id identity) bool { return sameKey(id.public, key) }) {
			named, namedTale = append(named, signer), append(namedTale, tale)
		} else if !s.identitiesOnly {
			others, otherTale = append(others, signer), append(otherTale, tale)
		}
	}
	for _, id := range identities {
		switch {
		case slices.ContainsFunc(named, func(k ssh.Signer) bool { return sameKey(id.public, k.PublicKey()) }):
		case id.signer != nil:
			named, namedTale = append(named, id.signer), append(namedTale, id.path)
		default:
			c.skipped = append(c.skipped, id.path+" ("+id.reason+")")
		}
	}
	c.signers, c.tried = append(named, others...), append(namedTale, otherTale...)
	return c, nil
}

// askAgent lists the agent's keys. An agent that does not answer is no error:
// the files may do.
func (c *credentials) askAgent(ctx context.Context, socket string) []ssh.Signer {
	if socket == "" {
		return nil
	}
	conn, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "unix", socket)
	if err != nil {
		c.skipped = append(c.skipped, fmt.Sprintf("the agent's keys (%v)", err))
		return nil
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(connectTimeout))
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		conn.Close()
		c.skipped = append(c.skipped, fmt.Sprintf("the agent's keys (%s: %v)", socket, err))
		return nil
	}
	conn.SetDeadline(time.Now().Add(connectTimeout + authTimeout))
	c.agent = conn
	return signers
}

// methods is what the handshake is to try. It notes what the host accepts.
func (c *credentials) methods(config *ssh.ClientConfig) {
	config.Auth = []ssh.AuthMethod{ssh.PublicKeys(c.signers...)}
	config.AuthCallback = func(now *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
		c.accepts = slices.Clone(now.AllowedMethods)
		return nil, nil // go on with config.Auth
	}
}

func (c *credentials) close() {
	if c.agent != nil {
		c.agent.Close()
	}
}

func readIdentity(path string) (identity, error) {
	id := identity{path: path}
	content, err := os.ReadFile(path)
	if err != nil {
		return id, err
	}
	signer, err := ssh.ParsePrivateKey(content)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		id.signer, id.public = signer, signer.PublicKey()
		return id, nil
	case errors.As(err, &locked):
		id.public = locked.PublicKey
		id.reason = "has a passphrase: run `ssh-add " + path + "`"
	case strings.Contains(err.Error(), "no key found"): // a public key that stands for one of the agent's
		id.public, _, _, _, _ = ssh.ParseAuthorizedKey(content)
		id.reason = "the agent does not have it: run `ssh-add " + strings.TrimSuffix(path, ".pub") + "`"
		if id.public == nil {
			id.reason = "is not a key"
		}
	default: // the error of a parser might quote the file: it is left out
		id.reason = "a kind of key that only the agent can use: run `ssh-add " + path + "`"
	}
	if id.public == nil {
		if half, err := os.ReadFile(path + ".pub"); err == nil {
			id.public, _, _, _, _ = ssh.ParseAuthorizedKey(half)
		}
	}
	return id, nil
}

func sameKey(a, b ssh.PublicKey) bool {
	return a != nil && b != nil && bytes.Equal(a.Marshal(), b.Marshal())
}

// describe names a key of the agent as its owner knows it.
func describe(key ssh.PublicKey) string {
	text := fingerprint(key)
	if k, ok := key.(*agent.Key); ok && k.Comment != "" {
		text = k.Comment + " (" + text + ")"
	}
	return text
}
