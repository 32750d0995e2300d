from typing import Unpack

from tinygrad_nn.viz import DrawOptions, Picture

class Drawing:
    def graph(self, *inputs: object, **options: Unpack[DrawOptions]) -> Picture: ...
