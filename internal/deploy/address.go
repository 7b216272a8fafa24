package deploy

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/crs58/fleet/internal/ssh"
)

// Kind tells the three ways to reach a machine apart.
type Kind string

// The kinds of address.
const (
	Root  Kind = "root"
	Local Kind = "local"
	SSH   Kind = "ssh"
)

// Address is where a machine is reached: deploy.targetHost, understood.
type Address struct {
	Kind Kind
	Path string     // the absolute folder of a Root address
	SSH  ssh.Target // the host of an SSH address
}

// ParseAddress reads ssh://[user@]host[:port], [user@]host, local or root:PATH.
// A relative PATH is below directory, the flake's folder.
func ParseAddress(text, directory string) (Address, error) {
	path, isRoot := strings.CutPrefix(text, "root:")
	switch {
	case text == "":
		return Address{}, errors.New("it has no address; set deploy.targetHost to ssh://HOST, local or root:PATH")
	case text == "local":
		return Address{Kind: Local}, nil
	case isRoot:
		return parseRoot(path, directory)
	}
	target, err := ssh.ParseTarget(text)
	return Address{Kind: SSH, SSH: target}, err
}

func parseRoot(path, directory string) (Address, error) {
	if path == "" {
		return Address{}, errors.New("the address root: names no folder; write root:PATH")
	}
	if !filepath.IsAbs(path) {
		if directory == "" {
			return Address{}, fmt.Errorf("the address root:%s is relative, but the flake is not a folder on this computer; write an absolute path", path)
		}
		path = filepath.Join(directory, path)
	}
	if path = filepath.Clean(path); path == "/" {
		return Address{}, errors.New("the address root:/ is this computer itself; write local for that")
	}
	return Address{Kind: Root, Path: path}, nil
}

// String is the address as it would be written in a flake.
func (a Address) String() string {
	switch a.Kind {
	case Root:
		return "root:" + a.Path
	case SSH:
		return a.SSH.String()
	}
	return string(a.Kind)
}

// onTarget is a command as a person here would type it to run it on the machine.
func (a Address) onTarget(command ...string) string {
	line := shellLine(command)
	if a.Kind != SSH {
		return line
	}
	words := []string{"ssh"}
	if a.SSH.Port != 0 {
		words = append(words, "-p", fmt.Sprint(a.SSH.Port))
	}
	if a.SSH.Jump != "" && a.SSH.Jump != "none" {
		words = append(words, "-J", a.SSH.Jump)
	}
	host := a.SSH.Host
	if a.SSH.User != "" {
		host = a.SSH.User + "@" + host
	}
	words = append(words, host)
	if line != strings.Join(command, " ") { // two shells read it, here and there
		return shellLine(append(words, line))
	}
	return shellLine(append(words, command...))
}

// shellLine is a command line that a shell takes apart into these words: quoted
// where that has to be, for machines name the units that are in them.
func shellLine(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if word == "" || strings.ContainsFunc(word, needsQuotes) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// needsQuotes tells of a character that means something to a shell.
func needsQuotes(r rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@,+=%", r)
}

// makeRoom is the command that frees space in the machine's store.
func (a Address) makeRoom() string {
	if a.Kind == Root {
		return shellLine([]string{"nix", "store", "gc", "--store", "local?root=" + a.Path})
	}
	return a.onTarget("nix-collect-garbage", "--delete-older-than", "14d")
}
