"""libtorrent (arvidn) for the interop tests.

lt.py swarm METAFILE|MAGNET DIR IP:PORT MARKER UP
                                                 download or seed until SIGTERM, sending at most UP bytes/s unless that is 0;
                                                 MARKER appears at completion
lt.py make v1|v2|hybrid PIECE ANNOUNCE PATH OUT  make a metafile
lt.py info METAFILE...                           one JSON line a metafile: what libtorrent reads in it
"""
import json
import os
import signal
import sys
import time

import libtorrent as lt

# libtorrent 2.0.8 says of a hybrid now and then, on a busy machine, that its v1 and v2 hashes do not describe the same
# data: among its own kind too, as the control of TestMagnet shows. Then it looks again.
INCONSISTENT_HASHES = 217


def swarm(source, folder, listen, marker, up):
    ip = listen.rsplit(":", 1)[0]
    session = lt.session({
        "listen_interfaces": listen, "outgoing_interfaces": ip, "enable_dht": False, "enable_lsd": False,
        "enable_upnp": False, "enable_natpmp": False, "enable_outgoing_utp": False, "enable_incoming_utp": False,
        "out_enc_policy": 2, "in_enc_policy": 2, "unchoke_slots_limit": 50, "min_reconnect_time": 1,
        "alert_mask": lt.alert.category_t.error_notification | lt.alert.category_t.tracker_notification
        | lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification | lt.alert.category_t.connect_notification,
    })
    if source.startswith("magnet:"):
        params = lt.parse_magnet_uri(source)
    else:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(source)
    params.save_path = folder
    # Nobody but us decides when it runs: the queue would pause it once in a while.
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    handle = session.add_torrent(params)
    handle.set_upload_limit(int(up))
    running, flushing = [True], False
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    while running:
        for alert in session.pop_alerts():
            print(alert.what(), alert.message(), flush=True)
            if isinstance(alert, lt.torrent_error_alert) and alert.error.value() == INCONSISTENT_HASHES:
                handle.clear_error()
                handle.force_recheck()
                handle.resume()
            if isinstance(alert, lt.cache_flushed_alert) and flushing:
                open(marker, "w").close()
        if marker and not flushing and handle.status().is_seeding:
            handle.flush_cache()  # it is complete before its last blocks are on disk
            flushing = True
        time.sleep(0.05)


def make(version, piece, announce, path, out):
    flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[version]
    files = lt.file_storage()
    lt.add_files(files, path)
    creator = lt.create_torrent(files, int(piece), flags)
    for url in announce.split(","):
        creator.add_tracker(url)
    lt.set_piece_hashes(creator, os.path.dirname(os.path.abspath(path)))
    with open(out, "wb") as f:
        f.write(lt.bencode(creator.generate()))


def info(*metafiles):
    for path in metafiles:
        t = lt.torrent_info(path)
        h, s = t.info_hashes(), t.files()
        real = [i for i in range(s.num_files()) if not s.file_flags(i) & lt.file_flags_t.flag_pad_file]
        print(json.dumps({
            "v1": str(h.v1) if h.has_v1() else "", "v2": str(h.v2) if h.has_v2() else "",
            "name": t.name(), "piece_length": t.piece_length(), "private": t.priv(), "comment": t.comment(),
            "content": sum(s.file_size(i) for i in real), "files": len(real),
            "links": sum(1 for i in real if s.file_flags(i) & lt.file_flags_t.flag_symlink),
            "exec": sum(1 for i in real if s.file_flags(i) & lt.file_flags_t.flag_executable),
            "trackers": [x.url for x in t.trackers()], "web_seeds": [x["url"] for x in t.web_seeds()],
        }))


if __name__ == "__main__":
    {"swarm": swarm, "make": make, "info": info}[sys.argv[1]](*sys.argv[2:])
