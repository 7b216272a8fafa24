package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
)

// errPassphrase says that an identity could only be used by asking for a passphrase.
var errPassphrase = errors.New("protected by a passphrase: let SOPS_AGE_KEY_CMD decrypt it")

// publicKeyComment is the comment that age-keygen, clan and the age plugins
// write above an identity.
var publicKeyComment = regexp.MustCompile(`(?i)^#\s*(?:public key|recipient):\s*(age1\S+)`)

// ParseIdentities reads age identities as they stand in a key file, one or
// several in a line, with comments; or one ssh private key. origin names the
// place in errors, which never quote what stands there.
func ParseIdentities(origin string, data []byte) (*Identities, error) {
	found, err := parseIdentities(origin, data)
	if err != nil {
		return nil, err
	}
	return &Identities{identities: found}, nil
}

func parseIdentities(origin string, data []byte) ([]identity, error) {
	trimmed := bytes.TrimSpace(data)
	switch {
	case bytes.HasPrefix(trimmed, []byte("age-encryption.org/")), bytes.HasPrefix(trimmed, []byte("-----BEGIN AGE ")):
		return nil, fmt.Errorf("%s is %w", origin, errPassphrase)
	case bytes.HasPrefix(trimmed, []byte("-----BEGIN ")):
		id, err := parseSSHIdentity(origin, trimmed)
		if err != nil {
			return nil, err
		}
		return []identity{id}, nil
	}
	var found []identity
	var announced string // public key in the comment above
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if comment := publicKeyComment.FindStringSubmatch(line); comment != nil {
			announced = comment[1]
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			id, err := parseAgeIdentity(word, announced)
			if err != nil {
				return nil, fmt.Errorf("%s, line %d: %w", origin, i+1, err)
			}
			found = append(found, id)
			announced = ""
		}
	}
	return found, nil
}

// parseAgeIdentity reads one identity. The errors of the age library are not
// passed on, because they may tell about the text.
func parseAgeIdentity(word, announced string) (identity, error) {
	switch {
	case strings.HasPrefix(word, "AGE-PLUGIN-"):
		id, err := plugin.NewIdentity(word, silentPluginUI())
		if err != nil {
			return identity{}, errors.New("this is not a complete age plugin identity")
		}
		return identity{Identity: id, recipient: announced, plugin: id.Name()}, nil
	case strings.HasPrefix(word, "AGE-SECRET-KEY-PQ-1"):
		id, err := age.ParseHybridIdentity(word)
		if err != nil {
			return identity{}, errors.New("this is not a complete age secret key")
		}
		return identity{Identity: id, recipient: id.Recipient().String()}, nil
	case strings.HasPrefix(word, "AGE-SECRET-KEY-1"):
		id, err := age.ParseX25519Identity(word)
		if err != nil {
			return identity{}, errors.New("this is not a complete age secret key")
		}
		return identity{Identity: id, recipient: id.Recipient().String()}, nil
	}
	return identity{}, errors.New("this is no age identity, which begins with AGE-SECRET-KEY-1 or AGE-PLUGIN-")
}

func parseSSHIdentity(origin string, pem []byte) (identity, error) {
	signer, err := ssh.ParsePrivateKey(pem)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		return identity{}, fmt.Errorf("%s is %w", origin, errPassphrase)
	}
	if err != nil {
		return identity{}, fmt.Errorf("%s is not a private ssh key", origin)
	}
	id, err := agessh.ParseIdentity(pem)
	if err != nil {
		return identity{}, fmt.Errorf("%s is an ssh key of a kind that age does not use: ed25519 and rsa can be", origin)
	}
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	return identity{Identity: id, recipient: public}, nil
}
