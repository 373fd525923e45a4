import numpy as np, torch, time
from dff.query.text import TextQuery
def test_probe(scene, truth):
    from dff.evaluate import psnr
    for name in ("IMG_00","IMG_11"):
        v = scene.views(names=[name])[0]
        t=time.time()
        s = scene.select(TextQuery(("red",),("green","table","sky")))
        print("select", time.time()-t)
        t=time.time()
        o = scene.render(v.camera, selection=s)
        print(time.time()-t)
        from dff.data.images import load_image
        print(v.split, psnr(o["rgb"], load_image(v.path)))
        m = (o["relevancy"][...,0]>=s.threshold).numpy()
        g = truth(name)==2
        print(s.threshold, (m&g).sum()/(m|g).sum())
    assert 0
