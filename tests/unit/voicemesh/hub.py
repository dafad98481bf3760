"""A local server laid out like Hugging Face and GitHub, for tests of downloads."""

import hashlib

from aiohttp import web

WEIGHTS = bytes(range(256)) * 4096  # 1 MiB
SMALL = b'{"a": 1}'
WHISPER = "Systran/faster-whisper-base.en"
COMMIT = "3d3d5dee26484f91867d81cb899cfcf72b96be6c"
VOICE = "en/en_US/lessac/medium/en_US-lessac-medium.onnx"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def listed(path, content, *, large):
    entry = {"type": "file", "path": path, "size": len(content)}
    if large:
        lfs = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
        return {**entry, "oid": "0" * 40, "lfs": lfs}
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return {**entry, "oid": git.hexdigest()}


class Hub:
    """Serves files by path; can cut them, and can serve something else than it lists."""

    def __init__(self):
        self.files = {}
        self.listings = {}
        self.cut_after = []
        self.requests = []

    async def serve(self, request):
        path = request.path
        if path in self.listings:
            return web.json_response(self.listings[path])
        if path not in self.files:
            raise web.HTTPNotFound
        content = self.files[path]
        asked = request.headers.get("Range", "bytes=0-")
        begin = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.requests.append((path, begin))
        response = web.StreamResponse(status=206 if begin else 200)
        response.content_length = len(content) - begin
        await response.prepare(request)
        if self.cut_after:
            await response.write(content[begin : begin + self.cut_after.pop(0)])
            request.transport.close()
            return response
        await response.write(content[begin:])
        return response

    def publish(self, repository, revision, folder, files):
        listing = f"/api/models/{repository}/tree/{revision}/{folder}".rstrip("/")
        self.listings[listing] = [
            listed(path, content, large=len(content) > 1000) for path, content in files.items()
        ]
        for path, content in files.items():
            self.files[f"/{repository}/resolve/{revision}/{path}"] = content
