// Package strictyaml reads files that people write: one document, and no key
// that nobody knows, for a typing mistake must not switch anything off.
package strictyaml

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// foreign is how the library says that a key is not known; the type is one of Go's.
var foreign = regexp.MustCompile(`^(line \d+): field (.*) not found in type .+$`)

// Decode reads one document; none at all leaves into as it is.
func Decode(text []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	err := d.Decode(into)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if wrong := (*yaml.TypeError)(nil); errors.As(err, &wrong) {
		lines := make([]string, len(wrong.Errors))
		for i, e := range wrong.Errors {
			lines[i] = foreign.ReplaceAllString(e, "$1: there is no key `$2`")
		}
		return errors.New(strings.Join(lines, "; "))
	}
	if err != nil {
		return err
	}
	if err := d.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return errors.New("it holds more than one document")
	}
	return nil
}
