package secrets

import (
	"context"
	"fmt"
	"slices"

	"github.com/getsops/sops/v3"
)

// Texts opens the file and gives its values that lie at the top and are texts, by
// name, and the names of the others there, sorted. Errors are those of [Decrypt].
func (d *Document) Texts(ctx context.Context, ids *Identities) (texts map[string][]byte, others []string, err error) {
	if len(d.tree.Branches) > 1 {
		return nil, nil, &UnsupportedError{Feature: "several YAML documents in one file"}
	}
	opened, err := d.open(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	texts = map[string][]byte{}
	for _, item := range opened.plain.Branches[0] {
		if _, isComment := item.Key.(sops.Comment); isComment {
			continue
		}
		name, named := item.Key.(string)
		text, isText := item.Value.(string)
		if named && isText {
			texts[name] = []byte(text)
		} else {
			others = append(others, fmt.Sprint(item.Key))
		}
	}
	slices.Sort(others)
	return texts, others, nil
}
