package webseed

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// examine decides whether an answer holds the part of a file of the given size,
// and how many bytes of its body lie before it.
func examine(resp *http.Response, part Part, size int64) (skip int64, err error) {
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return 0, fmt.Errorf("%w: %.20q", ErrEncoded, enc)
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		return 0, examineRange(resp.Header.Get("Content-Range"), part, size)
	case http.StatusOK:
		return examineWhole(resp.ContentLength, part, size)
	case http.StatusRequestedRangeNotSatisfiable:
		return 0, fmt.Errorf("%w: it has no byte %d", ErrSize, part.Off)
	}
	return 0, StatusError(resp.StatusCode)
}

// examineRange wants exactly the range that was asked for.
func examineRange(header string, part Part, size int64) error {
	first, last, total, ok := parseRange(header)
	if !ok || first != part.Off || last != part.Off+part.Length-1 {
		return fmt.Errorf("%w: asked for bytes %d to %d, got %.60q", ErrRange, part.Off, part.Off+part.Length-1, header)
	}
	if total >= 0 && total != size {
		return fmt.Errorf("%w: %d bytes, the release says %d", ErrSize, total, size)
	}
	return nil
}

// examineWhole takes the whole file as an answer if little of it has to be dropped.
func examineWhole(length int64, part Part, size int64) (skip int64, err error) {
	if length >= 0 && length != size {
		return 0, fmt.Errorf("%w: %d bytes, the release says %d", ErrSize, length, size)
	}
	if part.Off > maxSkip {
		return 0, fmt.Errorf("%w, and %d bytes would be fetched for nothing", ErrRange, part.Off)
	}
	return part.Off, nil
}

// parseRange reads "bytes first-last/total"; total is -1 for "*".
func parseRange(header string) (first, last, total int64, ok bool) {
	spec, ok := strings.CutPrefix(header, "bytes ")
	if !ok {
		return 0, 0, 0, false
	}
	span, totalText, ok1 := strings.Cut(spec, "/")
	firstText, lastText, ok2 := strings.Cut(span, "-")
	if !ok1 || !ok2 {
		return 0, 0, 0, false
	}
	total = -1
	if totalText != "*" {
		if total, ok = number(totalText); !ok {
			return 0, 0, 0, false
		}
	}
	first, ok1 = number(firstText)
	last, ok2 = number(lastText)
	return first, last, total, ok1 && ok2
}

func number(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err == nil
}
