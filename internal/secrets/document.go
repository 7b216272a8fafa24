package secrets

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"go.yaml.in/yaml/v3"
)

// Document is a sops file that people write with the sops program, of any of
// its formats. Use [ParseDocument] to make one.
type Document struct {
	data   []byte
	format format
	rules  *Rules
	tree   sops.Tree // encrypted; nothing may change it
}

// ParseDocument reads a sops file. The name gives the format, as with the sops
// program, and where it does not, the content. Rules say how files are laid out
// when they are written; nil means as sops does by itself. [ErrNotSops] says
// that the file is none, or is damaged.
func ParseDocument(name string, data []byte, rules *Rules) (*Document, error) {
	err := error(ErrNotSops)
	for _, format := range formatsOf(name, data) {
		d := &Document{data: data, format: format, rules: rules}
		if d.tree, err = d.load(); err == nil {
			return d, nil
		}
	}
	return nil, err
}

// load reads the file anew, because opening a tree changes it. The library's
// errors may quote what is in the file, and are not passed on.
func (d *Document) load() (sops.Tree, error) {
	switch d.format {
	case formatJSON:
		// The library's reader takes a truncated file for a whole one.
		if !json.Valid(d.data) {
			return sops.Tree{}, ErrNotSops
		}
	case formatYAML:
		// It follows aliases without end. What sops writes has none.
		if aliases, err := hasAliases(d.data); err != nil {
			return sops.Tree{}, ErrNotSops
		} else if aliases {
			return sops.Tree{}, &UnsupportedError{Feature: "YAML aliases"}
		}
	}
	tree, err := d.format.store(d.rules).LoadEncryptedFile(d.data)
	if errors.Is(err, sops.MetadataNotFound) {
		return sops.Tree{}, ErrNotSops
	}
	if err != nil {
		return sops.Tree{}, fmt.Errorf("%w that can be understood: its metadata is damaged or of an unknown kind", ErrNotSops)
	}
	if len(tree.Branches) == 0 {
		return sops.Tree{}, ErrNotSops
	}
	return tree, nil
}

func hasAliases(data []byte) (bool, error) {
	if !bytes.ContainsRune(data, '*') {
		return false, nil
	}
	var has func(node *yaml.Node) bool
	has = func(node *yaml.Node) bool {
		return node.Kind == yaml.AliasNode || slices.ContainsFunc(node.Content, has)
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var node yaml.Node
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		if has(&node) {
			return true, nil
		}
	}
}

// Recipients are the age public keys that the file is encrypted to, sorted.
func (d *Document) Recipients() []string {
	var all []string
	for _, group := range d.tree.Metadata.KeyGroups {
		for _, key := range group {
			if key, isAge := key.(*sopsage.MasterKey); isAge {
				all = append(all, key.Recipient)
			}
		}
	}
	return normalizeRecipients(all)
}

// Others are the PGP and cloud keys that it is encrypted to, in sops' spelling.
func (d *Document) Others() []string {
	var all []string
	for _, group := range d.tree.Metadata.KeyGroups {
		for _, key := range group {
			if _, isAge := key.(*sopsage.MasterKey); !isAge {
				name, _, _ := strings.Cut(key.ToString(), "|") // of KMS, the context
				all = append(all, name)
			}
		}
	}
	return all
}

// Grouped tells whether the data key is split between several groups.
func (d *Document) Grouped() bool { return len(d.tree.Metadata.KeyGroups) > 1 }

// Verify opens the file and checks that nobody has changed it. Errors are those
// of [Decrypt].
func (d *Document) Verify(ctx context.Context, ids *Identities) error {
	_, err := d.open(ctx, ids)
	return err
}

// opened is a document with what it takes to write it again.
type opened struct {
	dataKey []byte
	plain   sops.Tree
}

func (d *Document) open(ctx context.Context, ids *Identities) (opened, error) {
	if d.Grouped() {
		return opened{}, &UnsupportedError{Feature: "several key groups"}
	}
	dataKey, err := unwrapDataKey(ctx, ageKeys(d.tree), ids)
	if err != nil {
		return opened{}, err
	}
	plain, err := d.openWith(dataKey)
	return opened{dataKey, plain}, err
}

// openWith decrypts a new copy of the tree and checks its MAC.
func (d *Document) openWith(dataKey []byte) (sops.Tree, error) {
	tree, err := d.load()
	if err != nil {
		return tree, err
	}
	textTypes(tree)
	restore := setCommentsAside(tree)
	cipher := aes.NewCipher()
	computed, err := tree.Decrypt(dataKey, cipher)
	if err != nil {
		return tree, ErrMACMismatch
	}
	restore()
	mac, err := encryptedText(tree.Metadata.MessageAuthenticationCode)
	if err != nil {
		return tree, ErrMACMismatch
	}
	stored, err := cipher.Decrypt(mac, dataKey, macContext(tree))
	if err != nil {
		return tree, ErrMACMismatch
	}
	if mac, isText := stored.(string); !isText || subtle.ConstantTimeCompare([]byte(mac), []byte(computed)) != 1 {
		return tree, ErrMACMismatch
	}
	return tree, nil
}

// Rewrap gives the file for exactly these age recipients, as `sops updatekeys`
// does: values, comments, order and data key stay, and so do the entries of who
// stays and of PGP and cloud keys. If the recipients are right it is returned as
// it is.
func (d *Document) Rewrap(ctx context.Context, recipients []string, ids *Identities) ([]byte, error) {
	if SameRecipients(d.Recipients(), recipients) {
		return d.data, nil
	}
	// Nobody is given a file that was tampered with.
	open, err := d.open(ctx, ids)
	if err != nil {
		return nil, err
	}
	tree, err := d.load()
	if err != nil {
		return nil, err
	}
	group, err := regroup(ctx, tree.Metadata.KeyGroups[0], recipients, open.dataKey)
	if err != nil {
		return nil, fmt.Errorf("encrypt again: %w", err)
	}
	tree.Metadata.KeyGroups = []sops.KeyGroup{group}
	data, again, err := d.emit(tree)
	if err != nil {
		return nil, err
	}
	if !sameContent(again.tree, d.tree) {
		return nil, errReshaped
	}
	return data, nil
}

// Reencrypt gives the file for exactly these age recipients with a new data key,
// as `sops rotate` does: see [Reencrypt]. A file that is also encrypted to keys
// of another kind is refused, because they cannot be given the new data key.
func (d *Document) Reencrypt(ctx context.Context, recipients []string, ids *Identities, now time.Time) ([]byte, error) {
	if len(d.Others()) > 0 {
		return nil, errOtherKeys
	}
	open, err := d.open(ctx, ids)
	if err != nil {
		return nil, err
	}
	tree := open.plain
	dataKey, err := newDataKey()
	if err != nil {
		return nil, err
	}
	group, err := regroup(ctx, nil, recipients, dataKey)
	if err != nil {
		return nil, fmt.Errorf("encrypt again: %w", err)
	}
	tree.Metadata.KeyGroups = []sops.KeyGroup{group}
	tree.Metadata.LastModified = now.UTC()
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(dataKey, cipher)
	if err != nil {
		return nil, errors.New("encrypt: the values cannot be encrypted") // the library's error may quote one
	}
	if tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, dataKey, macContext(tree)); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	data, again, err := d.emit(tree)
	if err != nil {
		return nil, err
	}
	before, err := d.openWith(open.dataKey)
	if err != nil {
		return nil, err
	}
	if after, err := again.openWith(dataKey); err != nil || !sameContent(after, before) {
		return nil, errReshaped
	}
	return data, nil
}

// errReshaped says that the library would write something else than it has read.
var errReshaped = errors.New("sops itself cannot write this file as it is: open it with `sops`, and save it")

// emit writes a tree and reads it again.
func (d *Document) emit(tree sops.Tree) ([]byte, *Document, error) {
	if !bytes.Contains(d.data, []byte("unencrypted_suffix")) {
		// The library has set it where the file has none.
		tree.Metadata.UnencryptedSuffix = ""
	}
	data, err := d.format.store(d.rules).EmitEncryptedFile(tree)
	if err != nil {
		return nil, nil, errReshaped
	}
	again := &Document{data: data, format: d.format, rules: d.rules}
	if again.tree, err = again.load(); err != nil {
		return nil, nil, errReshaped
	}
	return data, again, nil
}

// regroup makes the key group for the recipients. Who stays, stays in place; who
// comes is put behind, as it is spelled.
func regroup(ctx context.Context, before sops.KeyGroup, recipients []string, dataKey []byte) (sops.KeyGroup, error) {
	var group sops.KeyGroup
	done := map[string]bool{}
	wanted := normalizeRecipients(recipients)
	for _, key := range before {
		master, isAge := key.(*sopsage.MasterKey)
		if isAge && !slices.Contains(wanted, NormalizeRecipient(master.Recipient)) {
			continue
		}
		if isAge {
			done[NormalizeRecipient(master.Recipient)] = true
		}
		group = append(group, key)
	}
	for _, recipient := range recipients {
		if normal := NormalizeRecipient(recipient); done[normal] {
			continue
		} else {
			done[normal] = true
		}
		wrapped, err := wrapDataKey(ctx, dataKey, recipient)
		if err != nil {
			return nil, err
		}
		group = append(group, &sopsage.MasterKey{Recipient: strings.TrimSpace(recipient), EncryptedKey: wrapped})
	}
	if len(group) == 0 {
		return nil, errors.New("there is nobody to encrypt to")
	}
	return group, nil
}

// sameContent compares trees: values in their order, and comments wherever they
// stand, because the library may move one to the next line.
func sameContent(a, b sops.Tree) bool {
	valuesA, commentsA := content(a)
	valuesB, commentsB := content(b)
	slices.Sort(commentsA)
	slices.Sort(commentsB)
	return reflect.DeepEqual(valuesA, valuesB) && slices.Equal(commentsA, commentsB)
}

// content is a tree without its comments, and these.
func content(tree sops.Tree) (values []any, comments []string) {
	var strip func(value any) any
	strip = func(value any) any {
		switch value := value.(type) {
		case sops.TreeBranch:
			items := []any{}
			for _, item := range value {
				if comment, isComment := item.Key.(sops.Comment); isComment {
					comments = append(comments, comment.Value)
					continue
				}
				items = append(items, item.Key, strip(item.Value))
			}
			return items
		case []any:
			items := []any{}
			for _, item := range value {
				if comment, isComment := item.(sops.Comment); isComment {
					comments = append(comments, comment.Value)
					continue
				}
				items = append(items, strip(item))
			}
			return items
		}
		return value
	}
	for _, branch := range tree.Branches {
		values = append(values, strip(branch))
	}
	return values, comments
}
