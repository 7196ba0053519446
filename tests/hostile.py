"""Photographs that their decoder does not survive; workers import no more than this."""

import os
import signal
import time

from dr_lib.data.photographs import FolderPhotographs


class Hostile(FolderPhotographs):
    """A photograph named ``hangs`` keeps the decoder for ever, one named ``kills`` ends it."""

    def pixels(self, image, at_least=0):
        return super().pixels(image, at_least) if harmless(image) else None

    def read_as_is(self, image):
        return super().read_as_is(image) if harmless(image) else None


def harmless(image):
    if image == "kills":
        os.kill(os.getpid(), signal.SIGKILL)
    while image == "hangs":
        time.sleep(0.1)
    return True
