"""Pages of an atlas: to browse and search in a browser, as a folder of files, and to collect people's sentences.

    from describer.search.site.app import make_app, serve
    from describer.search.site.export import export_site

    serve("atlas")                                   # http://127.0.0.1:8000, until stopped
    export_site("atlas", "site")                     # site/index.html opens without any server

Every unit has one address, /LAYER/INDEX, and its JSON under /api/LAYER/INDEX.
"""
