"""Names of the files that stages leave."""

# prepare
IMAGES, ORIGINS = "images", "images.json"

# class images
CLASS_IMAGES = "class_images"

# train
WEIGHTS, CURVES = "concept.safetensors", "curves.json"

# evaluate
EMBEDDINGS = "embeddings.safetensors"
SCORES, GENERATIONS, BASE_GENERATIONS, STAGES = "scores.json", "generations", "base", "stages"
PREVIEW, PLACEHOLDER_MAP, CATEGORY_MAP = "preview.png", "attention_placeholder.png", "attention_super_category.png"

# maps
PICTURE, WORD_MAP = "picture.png", "attention_word.png"

# gallery
CONTACT_SHEET, PAGE = "gallery.png", "index.html"
