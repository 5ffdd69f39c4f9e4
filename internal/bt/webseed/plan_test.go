package webseed

import (
	"errors"
	"net/url"
	"slices"
	"testing"
)

func TestFileURL(t *testing.T) {
	multi := tree(t)
	single := makeRelease(t, "one file.bin", entry{size: 100})
	tests := []struct {
		r    release
		base string
		file int
		want string
	}{
		{multi, "http://h/pub/", 0, "http://h/pub/app%20%231/a%20b/100%25.txt"},
		{multi, "http://h/pub", 2, "http://h/pub/app%20%231/big"},
		{multi, "https://h:8443", 2, "https://h:8443/app%20%231/big"},
		{multi, "http://h/x%2Fy/?token=a%2Fb#frag", 2, "http://h/x%2Fy/app%20%231/big?token=a%2Fb"},
		{multi, "http://u:p@h/", 3, "http://u:p@h/app%20%231/%FF%FE%3Fx"},
		{multi, "http://h/", 4, "http://h/app%20%231/z%2B%26%3D/~last%3B"},
		{single, "http://h/pub/", 0, "http://h/pub/one%20file.bin"},
		{single, "http://h", 0, "http://h/one%20file.bin"},
		{single, "http://h/other%20name.iso", 0, "http://h/other%20name.iso"},
		{single, "http://h/get?id=7", 0, "http://h/get?id=7"},
	}
	for _, tt := range tests {
		p, err := NewPlan(tt.r.info, tt.base)
		if err != nil {
			t.Errorf("%s: %v", tt.base, err)
			continue
		}
		got := p.FileURL(tt.file)
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.base, got, tt.want)
		}
		if u, err := url.Parse(got); err != nil || u.String() != got {
			t.Errorf("%s is not sent as it is: %v, %v", got, u, err)
		}
	}
	for _, bad := range []string{"", "ftp://h/", "file:///etc/passwd", "http:///x", "http:x", "http://[::1", "/x", "http://h/%zz"} {
		if _, err := NewPlan(multi.info, bad); !errors.Is(err, ErrURL) {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}

func TestParts(t *testing.T) {
	r := tree(t)
	p, err := NewPlan(r.info, "http://h/")
	if err != nil {
		t.Fatal(err)
	}
	u := func(file int) string { return p.FileURL(file) }
	const first, second = 5000, 3*pieceLen + 123
	pad := r.info.Files[4].Offset - r.info.Files[3].Offset - 777
	tests := []struct {
		off, n int64
		want   []Part
	}{
		{0, 1, []Part{{0, u(0), 0, 1}}},
		{4999, 2, []Part{{0, u(0), 4999, 1}, {2, u(2), 0, 1}}},
		{0, pieceLen, []Part{{0, u(0), 0, first}, {2, u(2), 0, pieceLen - first}}},
		{pieceLen, pieceLen, []Part{{2, u(2), pieceLen - first, pieceLen}}},
		{first + second, 777 + 5, []Part{{3, u(3), 0, 777}, {-1, "", 0, 5}}},
		{first + second + 776, 1 + pad + 2, []Part{{3, u(3), 776, 1}, {-1, "", 0, pad}, {4, u(4), 0, 2}}},
		{r.info.Length(), 1, nil},
	}
	for _, tt := range tests {
		if got := slices.Collect(p.Parts(tt.off, tt.n)); !slices.Equal(got, tt.want) {
			t.Errorf("%d+%d: %+v, want %+v", tt.off, tt.n, got, tt.want)
		}
	}
}

// Whatever is asked for, the parts cover it and lie inside of their files.
func FuzzParts(f *testing.F) {
	f.Add(int64(0), int64(100000))
	f.Add(int64(4999), int64(2))
	f.Add(int64(-1), int64(1))
	r := tree(f)
	p, err := NewPlan(r.info, "http://h/")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, off, n int64) {
		var sum int64
		for part := range p.Parts(off, n) {
			sum += part.Length
			if part.File >= 0 && (part.Off < 0 || part.Off+part.Length > r.info.Files[part.File].Length) {
				t.Errorf("%+v is beyond the file", part)
			}
		}
		start, length := max(off, 0), r.info.Length()
		if want := min(max(n, 0), max(length-start, 0)); sum != want {
			t.Errorf("%d+%d: parts have %d bytes, want %d", off, n, sum, want)
		}
	})
}

func FuzzPlanURL(f *testing.F) {
	f.Add("http://h/pub/?q#f")
	f.Add("http://u:p@[::1]:80/a%2Fb")
	r := tree(f)
	f.Fuzz(func(t *testing.T, base string) {
		p, err := NewPlan(r.info, base)
		if err != nil {
			return
		}
		u, err := url.Parse(p.FileURL(0))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			t.Errorf("%q gives %q: %v", base, p.FileURL(0), err)
		}
	})
}

func FuzzParseRange(f *testing.F) {
	f.Add("bytes 0-99/100")
	f.Add("bytes 5-5/*")
	f.Fuzz(func(t *testing.T, header string) {
		first, last, total, ok := parseRange(header)
		if ok && (first < 0 || last < 0 || total < -1) {
			t.Errorf("%q: %d-%d/%d", header, first, last, total)
		}
	})
}
